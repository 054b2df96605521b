"""The page of the studio, made with gradio: `server.serve` starts it."""

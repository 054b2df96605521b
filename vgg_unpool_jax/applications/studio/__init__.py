"""The studio: the library's models on a page in the browser.

`models`, `photos` and `jobs` are what all tabs share; a file for each tab holds what it
computes, without gradio. `page` shows it.
"""

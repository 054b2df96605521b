// Behaviour of the studio's own pictures; everything is delegated, since results come
// and go.
(() => {
  document.addEventListener("input", (event) => {
    const frame = event.target.closest?.(".vs");
    if (frame) frame.style.setProperty("--split", event.target.value + "%");
  });

  // gradio tells of a slider's value when a pointer is released, and not when keys are.
  let settled;
  document.addEventListener("keyup", (event) => {
    const slider = event.target;
    if (!slider.matches?.("input[type=range], input[type=number]")) return;
    if (["Tab", "Shift", "Control", "Alt", "Meta", "Escape"].includes(event.key)) return;
    clearTimeout(settled);
    settled = setTimeout(() => {
      slider.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    }, 500);
  });

  // gradio gives the photos that were chosen no text.
  document.addEventListener("load", (event) => {
    const image = event.target, box = image.closest?.(".photo");
    if (box && !image.alt) image.alt = box.querySelector("label")?.innerText.trim() ?? "";
  }, true);

  // Nor does it name groups of choices, places for photos, and the command line.
  function giveNames() {
    const name = (element, text) => {
      if (element && element.ariaLabel !== text) element.ariaLabel = text;
    };
    const title = (box, kind) =>
      box.querySelector(`[data-testid=block-${kind}]`)?.textContent.trim() ?? "";
    for (const box of document.querySelectorAll("fieldset")) name(box, title(box, "info"));
    for (const box of document.querySelectorAll(".command"))
      name(box.querySelector("textarea"), title(box, "info"));
    for (const box of document.querySelectorAll(".photo"))
      name(box.querySelector("button.upload-container"), `${title(box, "label")}: upload a file`);
    for (const image of document.querySelectorAll(".looks button img"))
      name(image.closest("button"), image.alt);
  }
  new MutationObserver(giveNames).observe(document, { childList: true, subtree: true });

  // One magnifier over all panes of a group, at the same place of each.
  const DIAMETER = 132, ZOOM = 3;

  function show(group, x, y) {
    group.classList.add("on");
    group.dataset.x = x;
    group.dataset.y = y;
    for (const pane of group.querySelectorAll(".pane")) {
      const image = pane.querySelector("img"), glass = pane.querySelector(".glass");
      const width = image.clientWidth, height = image.clientHeight;
      const zoom = Math.max(2, (ZOOM * image.naturalWidth) / width / devicePixelRatio);
      glass.style.left = x * width - DIAMETER / 2 + "px";
      glass.style.top = y * height - DIAMETER / 2 + "px";
      glass.style.backgroundImage = `url("${image.currentSrc || image.src}")`;
      glass.style.backgroundSize = `${width * zoom}px ${height * zoom}px`;
      const shift = (share, side) => DIAMETER / 2 - share * side * zoom;
      glass.style.backgroundPosition = `${shift(x, width)}px ${shift(y, height)}px`;
    }
  }

  const groupOf = (event) => event.target.closest?.(".magnified");

  document.addEventListener("pointermove", (event) => {
    const pane = event.target.closest?.(".pane");
    if (!pane) {
      document.querySelectorAll(".magnified.on:not(.kept)").forEach((group) => {
        group.classList.remove("on");
      });
      return;
    }
    const box = pane.getBoundingClientRect(), group = groupOf(event);
    group.classList.remove("kept");
    const share = (value, low, side) => Math.min(1, Math.max(0, (value - low) / side));
    show(
      group,
      share(event.clientX, box.left, box.width),
      share(event.clientY, box.top, box.height)
    );
  });

  document.addEventListener("keydown", (event) => {
    if (!event.target.classList?.contains("pane")) return;
    const group = groupOf(event);
    const steps = {
      ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, -0.02], ArrowDown: [0, 0.02],
    };
    if (event.key === "Escape") return group.classList.remove("on", "kept");
    if (!(event.key in steps)) return;
    event.preventDefault();
    const at = (name, step) =>
      Math.min(1, Math.max(0, Number(group.dataset[name] ?? 0.5) + step));
    group.classList.add("kept");
    show(group, at("x", steps[event.key][0]), at("y", steps[event.key][1]));
  });
})();

// Runs before Gradio's own scripts. The others, which theme.py names, run after them.
{
  // Gradio's own words follow the browser's language, which is therefore settled before it looks.
  Object.defineProperty(navigator, "language", { get: () => document.documentElement.lang });

  // Its status tracker counts tenths of a second at every frame, for ever, even once the page is there (6.31): that would
  // keep a fifth of a core busy, and a telephone warm. It gets four frames a second.
  const frame = window.requestAnimationFrame.bind(window);
  const isItsClock = (call) => /performance\.now\(\)[^;]*\/1e3/.test(call);
  window.requestAnimationFrame = (call) => (isItsClock(call) ? setTimeout(frame, 250, call) : frame(call));
}

// What the other scripts share. Gradio draws a tab when it is first opened, and redraws parts as they change. Where
// another tab is chosen, it may make the buttons of the bar others by their words and attributes alone.
const onDrawn = (() => {
  const calls = [];
  let waiting = false;
  const run = () => {
    waiting = false;
    for (const call of calls) call();
  };
  new MutationObserver(() => {
    if (!waiting) requestAnimationFrame(run);
    waiting = true;
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-selected"] });
  return (call) => {
    calls.push(call);
    call();
  };
})();

// Gradio measures its tabs once, and puts those that do not fit behind a button: our font, when it comes, is narrower.
document.fonts.addEventListener("loadingdone", () => dispatchEvent(new Event("resize")));

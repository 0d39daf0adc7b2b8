// What Gradio's own markup leaves untold to screen readers and keyboards.
(() => {
  const mend = () => {
    const selected = document.querySelector('#tabs [role="tab"][aria-selected="true"]');
    for (const panel of document.querySelectorAll("#tabs > [role=tabpanel]")) {
      if (panel.offsetParent && selected) panel.setAttribute("aria-label", selected.textContent.trim());
    }
    // An accordion's button says whether it is open.
    for (const button of document.querySelectorAll("button.label-wrap")) {
      button.setAttribute("aria-expanded", button.classList.contains("open"));
    }
    // What a chart draws under the mouse alone is no picture of its own.
    for (const mark of document.querySelectorAll("svg [role=graphics-symbol]:not([aria-label])")) {
      mark.setAttribute("aria-hidden", "true");
      mark.removeAttribute("role");
    }
    for (const icon of document.querySelectorAll("footer img")) icon.alt = ""; // the words stand beside it
  };

  document.addEventListener("click", (event) => {
    requestAnimationFrame(mend);
    if (event.target.id !== "skip") return;
    event.preventDefault(); // the address stays as it is
    const panel = [...document.querySelectorAll("#tabs > [role=tabpanel]")].find((one) => one.offsetParent);
    panel?.setAttribute("tabindex", "-1");
    panel?.focus();
  });
  onDrawn(mend);
})();

// What Gradio's own markup leaves untold to screen readers and keyboards.
(() => {
  let moved = ""; // a tab chosen under "More tabs": its button there is gone, and the focus follows it into the bar
  const more = () => document.querySelector("#tabs .overflow-menu > button");
  const mend = () => {
    const selected = document.querySelector('#tabs [role="tab"][aria-selected="true"]');
    const name = (selected ?? document.querySelector("#tabs .overflow-item-selected"))?.textContent.trim();
    for (const panel of document.querySelectorAll("#tabs > [role=tabpanel]")) {
      if (panel.offsetParent && name) panel.setAttribute("aria-label", name);
    }
    const heading = document.getElementById("open-tab"); // the headings of a tab are below its name
    if (heading && name && heading.textContent !== name) heading.textContent = name;
    if (moved && selected?.textContent.trim() === moved) {
      selected.focus();
      moved = "";
    }
    more()?.setAttribute("aria-expanded", !more().nextElementSibling?.classList.contains("hide"));
    // An accordion's button says whether it is open.
    for (const button of document.querySelectorAll("button.label-wrap")) {
      button.setAttribute("aria-expanded", button.classList.contains("open"));
    }
    // What is wider than its place can be scrolled with the arrow keys.
    for (const code of document.querySelectorAll("pre:not([tabindex])")) {
      if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
    }
    // A message's head is no button: it has one, to close it, and to a screen reader a button has nothing in it.
    for (const head of document.querySelectorAll(".toast-header")) head.setAttribute("role", "group");
    // What the server said about an upload stands behind the status of its answer.
    for (const text of document.querySelectorAll(".toast-message-text")) {
      if (/^\s*HTTP \d{3}: /.test(text.textContent)) text.textContent = text.textContent.replace(/^\s*HTTP \d{3}: /, "");
    }
    for (const icon of document.querySelectorAll("footer img")) icon.alt = ""; // the words stand beside it
  };

  document.addEventListener("click", (event) => { // on its way down: Gradio keeps some from coming up again
    moved = event.target.closest(".overflow-dropdown button")?.textContent.trim() ?? "";
    requestAnimationFrame(mend);
    if (event.target.id !== "skip") return;
    event.preventDefault(); // the address stays as it is
    const panel = [...document.querySelectorAll("#tabs > [role=tabpanel]")].find((one) => one.offsetParent);
    panel?.setAttribute("tabindex", "-1");
    panel?.focus();
  }, true);
  // A dropdown opens its list a moment after any key, and so after the one by which it is left: open lists would cover
  // the page.
  document.addEventListener("keydown", (event) => {
    if (["Tab", "Shift"].includes(event.key) && event.target.role === "combobox") event.stopPropagation();
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || more()?.ariaExpanded !== "true") return;
    more().click();
    more().focus();
  });
  addEventListener("resize", mend);
  onDrawn(mend);
})();

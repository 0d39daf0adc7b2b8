// The address follows the open tab and what is chosen in it, so that it can be copied, sent and reloaded. The other
// way, from an address to the page, is links.py's.
const linked = (() => {
  const NAMES = ["tab", "run", "checkpoint", "photo"];
  const asked = Object.fromEntries(new URLSearchParams(location.search));
  const FIRST = "classify";
  let open = asked.tab ?? FIRST;
  const chosen = { [open]: asked }; // by tab: what its part of the address says
  let settled = !NAMES.some((name) => name in asked); // while a link is followed, controls change by themselves
  let pressed; // the name of a tab that somebody pressed meanwhile: that is newer than the link
  const TABS = "#tabs [role=tab], #tabs .overflow-dropdown button"; // these have no room in the bar
  addEventListener("click", (event) => {
    if (!settled && event.isTrusted) pressed = event.target.closest(TABS)?.textContent ?? pressed;
  }, true);

  const write = () => {
    const address = new URL(location);
    const said = { ...chosen[open], tab: open };
    for (const name of NAMES) {
      if (said[name]) address.searchParams.set(name, said[name]);
      else address.searchParams.delete(name);
    }
    history.replaceState(history.state, "", address);
  };

  const opened = (tab) => {
    if (!settled || tab === open) return;
    open = tab;
    document.querySelector("#link-note .card")?.remove(); // it spoke of the tab that is left
    write();
  };

  const find = () => { // a link that names no tab has opened that of what it names
    const shown = document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId;
    if (asked.tab || !shown || shown === open) return;
    chosen[shown] = asked;
    delete chosen[open];
    open = shown;
  };

  const chose = (tab, name, value) => {
    if (!settled) return;
    chosen[tab] = { ...chosen[tab], [name]: value };
    if (tab === open) write();
  };

  return {
    asked,
    opened,
    chose,
    // A photo by its file's name: an example, or the one that the link has asked for.
    showed: (file, examples) =>
      chose("classify", "photo", examples[file] ?? (asked.photo?.split("/").pop() === file ? asked.photo : undefined)),
    settle: () => {
      settled = true;
      if (!pressed) return find();
      const tab = [...document.querySelectorAll(TABS)].find((one) => one.textContent === pressed);
      tab.click(); // then Gradio tells which it is, unless it is open already
      if (tab.dataset.tabId) opened(tab.dataset.tabId);
    },
  };
})();

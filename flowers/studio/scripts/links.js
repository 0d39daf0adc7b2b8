// The address follows the open tab and what is chosen in it, so that it can be copied, sent and reloaded. The other
// way, from an address to the page, is links.py's.
const linked = (() => {
  const NAMES = ["tab", "run", "checkpoint", "photo"];
  const asked = Object.fromEntries(new URLSearchParams(location.search));
  const FIRST = "classify";
  let open = asked.tab ?? FIRST;
  const chosen = { [open]: asked }; // by tab: what its part of the address says
  let settled = !NAMES.some((name) => name in asked); // while a link is followed, controls change by themselves
  let brought; // the path of the photo that the link has asked for
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
    requestAnimationFrame(arrive);
  };

  // A button within a tab that opens another leaves its visitor there: at the top, and the keyboard at the tab.
  const arrive = () => {
    if (document.activeElement?.matches(TABS)) return;
    scrollTo(0, 0);
    document.querySelector("#tabs [role=tab][aria-selected=true]")?.focus({ preventScroll: true });
  };

  const move = (tab) => { // a link that names no tab has opened that of what it names
    if (!tab || tab === open) return;
    chosen[tab] = asked;
    delete chosen[open];
    open = tab;
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
    // A photo by its path: an example's name is its own, and the first called as the link has it is the link's.
    showed: (path, examples) => {
      const name = path.split(/[\\/]/).pop();
      if (asked.photo?.split("/").pop() === name) brought ??= path;
      chose("classify", "photo", examples[name] ?? (path && path === brought ? asked.photo : undefined));
    },
    settle: (home) => {
      settled = true;
      move(home);
      if (!pressed) return;
      const tab = [...document.querySelectorAll(TABS)].find((one) => one.textContent === pressed);
      tab.click(); // then Gradio tells which it is, unless it is open already
      if (tab.dataset.tabId) opened(tab.dataset.tabId);
    },
  };
})();

// The tour opens by itself on the first visit only, and not to somebody who follows a link to a run or a photo.
(() => {
  const KEY = "flowers-tour";
  const dialog = () => document.getElementById("tour");
  const steps = () => [...dialog().querySelectorAll("section")];
  let number = 0;

  const seen = () => {
    try {
      return localStorage.getItem(KEY) !== null;
    } catch { // a browser that keeps nothing would show it at every visit
      return true;
    }
  };
  const remember = () => {
    try {
      localStorage.setItem(KEY, "seen");
    } catch {}
  };

  // The tab of a step; on a narrow screen it may be in the menu of further tabs.
  const target = () => {
    const tab = document.querySelector(`#tabs [role="tab"][data-tab-id="${steps()[number].dataset.tab}"]`);
    return tab ?? document.querySelector("#tabs .overflow-menu:not(.hide) > button");
  };

  const place = () => {
    const box = target()?.getBoundingClientRect();
    const ring = dialog().querySelector(".ring");
    ring.hidden = !box;
    if (!box) return;
    const width = dialog().offsetWidth;
    const middle = box.left + box.width / 2;
    const left = Math.max(12, Math.min(middle - width / 2, document.documentElement.clientWidth - width - 12));
    dialog().style.left = `${left}px`;
    dialog().style.top = `${box.bottom + 16}px`;
    dialog().style.setProperty("--points-at", `${middle - left}px`);
    Object.assign(ring.style, {
      left: `${box.left - 4}px`, top: `${box.top - 2}px`, width: `${box.width + 8}px`, height: `${box.height + 4}px`,
    });
  };

  const show = (step) => {
    number = step;
    const last = number === steps().length - 1;
    steps().forEach((section, other) => { section.hidden = other !== number; });
    dialog().setAttribute("aria-labelledby", steps()[number].querySelector("h2").id);
    dialog().querySelector(".back").hidden = number === 0;
    dialog().querySelector(".skip").hidden = last;
    const next = dialog().querySelector(".next");
    next.dataset.next ??= next.textContent;
    next.textContent = last ? next.dataset.last : next.dataset.next;
    target()?.scrollIntoView({ block: "nearest" });
    next.focus();
  };

  const start = () => {
    window.scrollTo(0, 0);
    if (!dialog().open) dialog().showModal(); // keeps the focus inside, and gives it back
    show(0);
    follow();
  };

  // The page may still be finding its shape: fonts and pictures arrive.
  const follow = () => {
    if (!dialog().open) return;
    place();
    requestAnimationFrame(follow);
  };

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest(selector);
    if (on("#tour-start")) start();
    else if (on("#tour .skip")) dialog().close();
    else if (on("#tour .back")) show(number - 1);
    else if (on("#tour .next")) number === steps().length - 1 ? dialog().close() : show(number + 1);
  });
  document.addEventListener("close", (event) => event.target.id === "tour" && remember(), true);

  let offered = false;
  onDrawn(() => {
    if (offered || !dialog() || !document.querySelector("#tabs [role=tab]")) return;
    offered = true;
    if (!seen() && !linked.asked.tab) start();
  });
})();

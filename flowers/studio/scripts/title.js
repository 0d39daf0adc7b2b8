// The run's progress in the page's title. While the page is hidden no timer of Gradio's ticks: then we ask.
const tell = text => { document.title = text || "flowers"; };
const now = () => element.textContent.trim();
watch("value", () => tell(now()));
setInterval(async () => {
  const name = element.querySelector("[data-run]")?.dataset.run;
  if (document.visibilityState === "hidden" && name) tell(await server.hidden_title(name));
}, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) tell(now()); });

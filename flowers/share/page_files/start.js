// Before anything is drawn: light or dark as last chosen. And where the page cannot begin, why not; in plain old
// JavaScript, for browsers that know no modules.
(function () {
  var zh = /^zh/i.test(navigator.language || "");
  try {
    document.documentElement.className = localStorage.getItem("flowers-page-dark") || "";
    zh = (localStorage.getItem("flowers-page-language") || (zh ? "zh-CN" : "en")) === "zh-CN";
  } catch (error) { /* a browser that keeps nothing: as the system has it */ }

  function say(english, chinese) {
    var line = document.getElementById("start-problem");
    line.textContent = zh ? chinese : english;
    line.hidden = false;
    document.getElementById("loading").hidden = true;
  }

  function tooOld() {
    say(
      "This browser is too old for this page: update it, or use another.",
      "这个浏览器太旧，无法运行本页：请更新，或换一个浏览器。"
    );
  }

  window.addEventListener("error", function (event) { // a module that this browser cannot read
    if (!document.documentElement.hasAttribute("data-started") && event.error instanceof SyntaxError) tooOld();
  });
  document.addEventListener("DOMContentLoaded", function () {
    if (location.protocol === "file:") {
      say(
        "A browser does not run this page from a folder: put the folder on any web host, or run “python -m http.server” in it and open http://localhost:8000 then.",
        "浏览器不能直接从文件夹运行本页：请把文件夹放到任意网站托管上，或在其中运行“python -m http.server”，再打开 http://localhost:8000 。"
      );
    } else if (!("noModule" in document.createElement("script"))) {
      tooOld();
    }
  });
})();

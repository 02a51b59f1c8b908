"use strict";
(() => {
  const chinese = document.getElementById("language-zh");
  const tell = () => { document.documentElement.lang = chinese.checked ? "zh-CN" : "en"; };
  if ((navigator.language || "").toLowerCase().startsWith("zh")) chinese.checked = true;
  document.querySelectorAll("input[name=language]").forEach((choice) => choice.addEventListener("change", tell));
  tell();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((part) => { part.open = false; });
    opened = [];
  });
})();

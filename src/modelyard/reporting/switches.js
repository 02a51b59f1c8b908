"use strict";
(() => {
  const chinese = document.getElementById("language-zh");
  const tell = () => { document.documentElement.lang = chinese.checked ? "zh-CN" : "en"; };
  if ((navigator.language || "").toLowerCase().startsWith("zh")) chinese.checked = true;
  document.querySelectorAll("input[name=language]").forEach((choice) => choice.addEventListener("change", tell));
  tell();
  document.querySelectorAll(".paged").forEach((list) => {
    const items = [...list.children], size = Number(list.dataset.size), bar = list.nextElementSibling;
    if (items.length <= size) return;
    const [before, after] = bar.querySelectorAll("button");
    let first = 0;
    const turn = (by) => {
      first += by;
      items.forEach((item, place) => { item.hidden = place < first || place >= first + size; });
      before.disabled = first === 0;
      after.disabled = first + size >= items.length;
      bar.querySelector(".place").textContent = `${first + 1}–${Math.min(first + size, items.length)} / ${items.length}`;
    };
    before.addEventListener("click", () => turn(-size));
    after.addEventListener("click", () => turn(size));
    bar.hidden = false;
    turn(0);
  });
  let opened = [], turned = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
    turned = [...document.querySelectorAll(".paged > [hidden]")];
    turned.forEach((item) => { item.hidden = false; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((part) => { part.open = false; });
    opened = [];
    turned.forEach((item) => { item.hidden = true; });
    turned = [];
  });
})();

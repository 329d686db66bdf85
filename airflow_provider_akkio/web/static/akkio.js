"use strict";

(() => {
  const root = document.documentElement;

  // Airflow keeps the choice of its own colour switch as a class of its page, which this one is a frame of.
  const airflow = (() => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null;
    }
  })();
  const followColours = () => {
    if (airflow.classList.contains("dark")) root.dataset.theme = "dark";
    else if (airflow.classList.contains("light")) root.dataset.theme = "light";
    else delete root.dataset.theme;
  };
  if (airflow) {
    followColours();
    new MutationObserver(followColours).observe(airflow, { attributes: true, attributeFilter: ["class"] });
  }

  const copy = async (element) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) throw new Error("not copied");
  };
  const showCopyButtons = () => {
    for (const button of document.querySelectorAll("button.copy")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    try {
      await copy(document.getElementById(button.dataset.copies));
      button.firstChild.data = "Copied";
    } catch {
      button.firstChild.data = "Not copied";
    }
    setTimeout(() => { button.firstChild.data = "Copy"; }, 2000);
  });
  showCopyButtons();

  const main = document.querySelector("main");
  const pause = document.querySelector("button.pause");
  if (!pause) return;
  const isPaused = () => pause.getAttribute("aria-pressed") === "true";
  pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(!isPaused())));

  const later = () => {
    pause.hidden = !main.dataset.refresh;
    if (main.dataset.refresh) setTimeout(refresh, 1000 * Number(main.dataset.refresh));
  };
  // What is the same stays: the focus, a selection, an open part, and what a screen reader is at.
  const take = (part, fresh) => {
    const [old, made] = [main.querySelector(part), fresh.querySelector(part)];
    if (old.innerHTML === made.innerHTML) return;
    const focused = old.contains(document.activeElement) && document.activeElement.dataset.copies;
    old.replaceChildren(...made.childNodes);
    if (focused) old.querySelector(`[data-copies="${focused}"]`)?.focus();
  };
  const show = (fresh) => {
    // The buttons of the page are shown by this script, and so are hidden in what the server sends.
    for (const button of fresh.querySelectorAll("button.copy")) button.hidden = false;
    take("[role=status]", fresh);
    take(".content", fresh);
    if (fresh.dataset.refresh) main.dataset.refresh = fresh.dataset.refresh;
    else delete main.dataset.refresh;
  };
  const refresh = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", refresh, { once: true });
      return;
    }
    try {
      const answer = isPaused() ? null : await fetch(location.href, { cache: "no-store" });
      if (answer?.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (page.querySelector("main .content")) show(page.querySelector("main"));
      } else if (answer && answer.status < 500) {
        document.querySelector("[role=status]").textContent =
          "This page is out of date: your session has ended, or the run is gone. Log in again, and reload it.";
        pause.hidden = true;
        return;
      }
    } catch {
      // The server cannot be reached now; the next attempt may.
    }
    later();
  };
  later();
})();

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

  const later = () => {
    const main = document.querySelector("main[data-refresh]");
    if (main) setTimeout(refresh, 1000 * Number(main.dataset.refresh));
  };
  const refresh = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", refresh, { once: true });
      return;
    }
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) {
        const focused = document.activeElement?.dataset.copies;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.querySelector("main").replaceWith(page.querySelector("main"));
        showCopyButtons();
        if (focused) document.querySelector(`[data-copies="${focused}"]`)?.focus();
      } else if (answer.status === 401 || answer.status === 403) {
        const note = document.createElement("p");
        note.setAttribute("role", "status");
        note.textContent = "This page is out of date: your session has ended. Log in again, and reload it.";
        document.querySelector("main").prepend(note);
        return;
      }
    } catch {
      // The server cannot be reached now; the next attempt may.
    }
    later();
  };
  later();
})();

"use strict";

(() => {
  const root = document.documentElement;

  // The page is an iframe in the Airflow UI, which stores its color mode as a class of its root element.
  const airflow = (() => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null;
    }
  })();
  const followTheme = () => {
    if (airflow.classList.contains("dark")) root.dataset.theme = "dark";
    else if (airflow.classList.contains("light")) root.dataset.theme = "light";
    else delete root.dataset.theme;
  };
  if (airflow) {
    followTheme();
    new MutationObserver(followTheme).observe(airflow, { attributes: true, attributeFilter: ["class"] });
  }

  const copyText = async (element) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) throw new Error("copy command failed");
  };
  // Without JavaScript the buttons do not work, so the server sends them hidden.
  const showCopyButtons = (element) => {
    for (const button of element.querySelectorAll("button.copy")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    try {
      await copyText(document.getElementById(button.dataset.copies));
      button.firstChild.data = "Copied";
    } catch {
      button.firstChild.data = "Copy failed";
    }
    setTimeout(() => { button.firstChild.data = "Copy"; }, 2000);
  });
  showCopyButtons(document);

  const main = document.querySelector("main");
  const pause = document.querySelector("button.pause");
  if (!pause) return;
  const isPaused = () => pause.getAttribute("aria-pressed") === "true";
  pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(!isPaused())));

  const scheduleRefresh = () => {
    pause.hidden = !main.dataset.refresh;
    if (main.dataset.refresh) setTimeout(refresh, 1000 * Number(main.dataset.refresh));
  };
  // An unchanged part is not replaced, so that it keeps the focus, the selection, open details and the position of a
  // screen reader.
  const replacePart = (selector, newMain) => {
    const [current, next] = [main.querySelector(selector), newMain.querySelector(selector)];
    if (current.innerHTML === next.innerHTML) return;
    const focused = current.contains(document.activeElement) && document.activeElement.dataset.copies;
    current.replaceChildren(...next.childNodes);
    if (focused) current.querySelector(`[data-copies="${focused}"]`)?.focus();
  };
  const update = (newMain) => {
    showCopyButtons(newMain);
    replacePart("[role=status]", newMain);
    replacePart(".content", newMain);
    if (newMain.dataset.refresh) main.dataset.refresh = newMain.dataset.refresh;
    else delete main.dataset.refresh;
  };
  const refresh = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", refresh, { once: true });
      return;
    }
    try {
      const response = isPaused() ? null : await fetch(location.href, { cache: "no-store" });
      if (response?.ok) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        if (page.querySelector("main .content")) update(page.querySelector("main"));
      } else if (response && response.status < 500) {
        document.querySelector("[role=status]").textContent =
          "This page no longer updates: your session has expired or the run was deleted. Log in and reload the page.";
        pause.hidden = true;
        return;
      }
    } catch {
      // The server is unreachable; the next refresh retries.
    }
    scheduleRefresh();
  };
  scheduleRefresh();
})();

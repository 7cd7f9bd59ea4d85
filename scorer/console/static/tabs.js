// Tabs: one panel at a time is shown; arrow keys move between the tabs.

/** Makes the tabs of a tablist work; each tab names its panel by `aria-controls`. `chosen` is called with the tab. */
export function makeTabs(tablist, chosen = () => {}) {
  const tabs = [...tablist.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
      const panel = document.getElementById(other.getAttribute("aria-controls"));
      if (panel.dataset.shared === undefined) panel.hidden = other !== tab;
    }
    chosen(tab);
  };
  for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
  tablist.addEventListener("keydown", (event) => {
    const index = tabs.indexOf(document.activeElement);
    const target = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (index < 0 || target === undefined) return;
    event.preventDefault();
    const tab = tabs.at(target % tabs.length);
    tab.focus();
    choose(tab);
  });
}

// The line over the tabs: what they are about. A group leads to its first tab; the tabs themselves scroll.
import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect } from 'react';
import { groupOf } from './examples.js';

export function TabGroups() {
  const { tabs, activeTabIndex } = useGraphiQL(pick('tabs', 'activeTabIndex'));
  const { changeTab } = useGraphiQLActions();
  useGroupsApart(tabs);
  useActiveTabInView(activeTabIndex, tabs.length);
  useWheelOverTabs();
  const active = tabs[activeTabIndex] && groupOf(tabs[activeTabIndex]);
  return (
    <nav className="graphiql-container tab-groups" aria-label="Groups of tabs">
      {[...new Set(tabs.map(groupOf))].map((group) => (
        <button
          key={group}
          type="button"
          aria-current={group === active}
          onClick={() => changeTab(tabs.findIndex((tab) => groupOf(tab) === group))}
        >
          {group}
        </button>
      ))}
    </nav>
  );
}

const bar = () => document.querySelector('#graphiql .graphiql-tabs');

/** Marks the tabs that begin a group. GraphiQL draws them, and takes no class names for single ones. */
function useGroupsApart(tabs) {
  useEffect(() => {
    [...(bar()?.children ?? [])].forEach((node, nth) => {
      const begins = nth > 0 && tabs[nth] && groupOf(tabs[nth]) !== groupOf(tabs[nth - 1]);
      node.toggleAttribute('data-begins-group', Boolean(begins));
    });
  }, [tabs]);
}

function useActiveTabInView(active, count) {
  useEffect(() => {
    bar()?.children[active]?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [active, count]);
}

/** A mouse with one wheel scrolls the tabs, too. */
function useWheelOverTabs() {
  useEffect(() => {
    const tabs = bar();
    const scroll = (event) => {
      if (event.deltaX || !event.deltaY || tabs.scrollWidth <= tabs.clientWidth) return;
      tabs.scrollLeft += event.deltaY;
      event.preventDefault();
    };
    tabs?.addEventListener('wheel', scroll, { passive: false });
    return () => tabs?.removeEventListener('wheel', scroll);
  }, []);
}

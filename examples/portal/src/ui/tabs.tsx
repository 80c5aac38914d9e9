import type { ReactNode } from 'react';
import { Tab, TabList, TabPanel, Tabs as AriaTabs } from 'react-aria-components';

export function Tabs({ label, value, onChange, of }: { label: string; value: string; onChange: (value: string) => void; of: readonly (readonly [string, string, ReactNode])[] }) {
  return (
    <AriaTabs className="tabs" selectedKey={value} onSelectionChange={(key) => onChange(String(key))}>
      <TabList aria-label={label} className="tab-list">{of.map(([key, text]) => <Tab key={key} id={key} className="tab">{text}</Tab>)}</TabList>
      {of.map(([key, , content]) => <TabPanel key={key} id={key} className="tab-panel">{content}</TabPanel>)}
    </AriaTabs>
  );
}

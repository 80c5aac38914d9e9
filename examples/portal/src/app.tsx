// The frame around every page: who is logged in, where one can go, and what holds for all of it.
import { Component, type ReactNode, Suspense, lazy, useEffect, useMemo, useState } from 'react';
import { I18nProvider } from 'react-aria-components';
import { Provider, useQuery } from 'urql';
import { Link, Redirect, Route, Router, Switch, useLocation } from 'wouter';
import { useHashLocation } from 'wouter/use-hash-location';
import { makeClient, offlineSince } from './api/client';
import { latestOf, useFeed, useReread } from './api/feed';
import { useScroll } from './api/place';
import { logOut } from './api/refresh';
import { IDLE, WARNING, type Person, type Session, lastUsed, session, touch } from './api/session';
import { useStore } from './api/store';
import type { PurposeOfUse } from './gql/graphql';
import { LogIn } from './pages/log-in';
import { NOTICE_FEED, UNREAD } from './pages/notices-queries';
import { Button, Notice } from './ui';
import { useLostFocus } from './ui/focus';
import { LiveChoice } from './ui/live-choice';
import { type English, type Language, language, loadLanguage, sentenceLanguage, t, time } from './words';
import { role } from './words/labels';

const Home = lazy(() => import('./pages/home'));
const Access = lazy(() => import('./pages/access'));
const Log = lazy(() => import('./pages/log'));
const Notices = lazy(() => import('./pages/notices'));
const MyData = lazy(() => import('./pages/my-data'));
const Integrity = lazy(() => import('./pages/integrity'));
const Account = lazy(() => import('./pages/account'));
const Patients = lazy(() => import('./pages/patients'));
const Patient = lazy(() => import('./pages/patients').then((module) => ({ default: module.Patient })));
const Record = lazy(() => import('./records/record'));
const NewRecord = lazy(() => import('./records/write').then((module) => ({ default: module.NewRecord })));
const AmendRecord = lazy(() => import('./records/write').then((module) => ({ default: module.AmendRecord })));
const Accounts = lazy(() => import('./pages/admin'));
const Organizations = lazy(() => import('./pages/organizations'));
const MyOrganizations = lazy(() => import('./pages/my-organizations'));
const Countries = lazy(() => import('./pages/countries'));
const Representatives = lazy(() => import('./pages/representatives'));
const Represented = lazy(() => import('./pages/represented'));
const Import = lazy(() => import('./pages/import'));
const Trail = lazy(() => import('./pages/trail'));
const Queues = lazy(() => import('./pages/queues'));
const Public = lazy(() => import('./pages/public'));

type Item = readonly [string, English];

const OWN: Item[] = [
  ['/access', 'Access'], ['/log', 'Who saw what'], ['/notices', 'Notices'], ['/representatives', 'Representatives'], ['/organizations', 'Organisations'], ['/data', 'My data'],
  ['/integrity', 'Integrity'], ['/account', 'Account'],
];
const MENU: { [role in NonNullable<Person['role']>]: Item[] } = {
  PATIENT: [['/', 'My records'], ...OWN],
  DOCTOR: [['/', 'Patients'], ['/mine', 'My records'], ...OWN],
  ADMIN: [['/', 'Accounts'], ['/organizations', 'Organisations'], ['/queues', 'To decide'], ['/countries', 'Countries'], ['/trail', 'Audit trail'], ['/integrity', 'Integrity'], ['/notices', 'Notices'], ['/account', 'Account']],
};

export function App() {
  const now = useStore(session);
  const tongue = useStore(language);
  const client = useMemo(makeClient, [now]);
  return (
    <I18nProvider locale={tongue === 'id' ? 'id-ID' : 'en-GB'}>
      <Provider value={client} key={`${now?.person.id ?? ''}-${tongue}`}>
        <Router hook={useHashLocation}>{now ? <Inside of={now} /> : <Outside />}</Router>
      </Provider>
    </I18nProvider>
  );
}

function Outside() {
  return (
    <div className="outside">
      <Head />
      <main id="main">
        <Switch>
          <Route path="/public"><Broken><Suspense fallback={<Waiting />}><Public /></Suspense></Broken></Route>
          <Route><LogIn /></Route>
        </Switch>
      </main>
    </div>
  );
}

const Waiting = () => <p role="status" className="waiting">{t('Loading …')}</p>;

function Head({ children }: { children?: React.ReactNode }) {
  return (
    <header className="head">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>('main h1')?.focus(); }}>{t('To the content')}</a>
      <span className="brand"><img src="./icon.svg" alt="" width="24" height="24" /> MediTrustAl</span>
      <span className="spacer" />
      <LanguageChoice />
      {children}
    </header>
  );
}

function LanguageChoice() {
  const now = useStore(language);
  return (
    <select className="language" aria-label={t('Language')} value={now} onChange={(event) => void loadLanguage(event.target.value as Language)}>
      <option value="en" lang="en">English</option>
      <option value="id" lang="id">Bahasa Indonesia</option>
    </select>
  );
}

function Inside({ of }: { of: Session }) {
  const { person } = of;
  const [isOpen, setOpen] = useState(false);
  const [here, go] = useLocation();
  useEffect(() => setOpen(false), [here]);
  useScroll(here);
  useLostFocus();
  const isLeaving = useIdleLogOut();
  return (
    <>
      <Head>
        <span className="who">{person.username} <span className="small">{role(person.role)}</span></span>
        <Button kind="quiet" onPress={() => { go('/'); void logOut().catch(() => {}); }}>{t('Log out')}</Button>
        <Button kind="quiet" aria-expanded={isOpen} aria-controls="menu" aria-label={t('Menu')} onPress={() => setOpen(!isOpen)}><svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true"><path d="M2 4h16M2 10h16M2 16h16" stroke="currentColor" strokeWidth="2" /></svg></Button>
      </Head>
      <Offline />
      {isLeaving ? <div className="offline" role="alert">{t('You are logged out in a minute, because nothing is done. Press a key or touch the page to go on.')}</div> : null}
      <div className="frame">
        <Menu of={MENU[person.role ?? 'PATIENT']} isOpen={isOpen} />
        <main id="main">
          <Broken key={here}>
            <Suspense fallback={<Waiting />}>
              <Pages person={person} />
            </Suspense>
          </Broken>
        </main>
      </div>
    </>
  );
}

/** Stands in the place of a page that fails, such as one whose files were replaced by those of a newer version. */
class Broken extends Component<{ children: ReactNode }, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    return (
      <>
        <Notice kind="bad">{t('This page cannot be shown. Load it again; if that does not help, report it.')}</Notice>
        <Button kind="main" onPress={() => location.reload()}>{t('Load it again')}</Button>
      </>
    );
  }
}

function Menu({ of, isOpen }: { of: readonly Item[]; isOpen: boolean }) {
  const [here] = useLocation();
  return (
    <nav id="menu" className={isOpen ? 'menu open' : 'menu'} aria-label={t('Menu')}>
      <ul>
        {of.map(([href, text]) => (
          <li key={href}>
            <Link href={href} aria-current={here === href ? 'page' : isWithin(here, href) ? 'true' : undefined}>{t(text)}{href === '/notices' ? <Unread /> : null}</Link>
          </li>
        ))}
        <li className="renewing"><LiveChoice /></li>
      </ul>
    </nav>
  );
}

/** Whether a page belongs to one of the menu: what is read for somebody else belongs to whom one represents. */
const isWithin = (here: string, href: string): boolean => href === '/representatives' && here.startsWith('/for/');

function Unread() {
  const [result, again] = useQuery({ query: UNREAD });
  const { events, missed } = useFeed(NOTICE_FEED, { language: sentenceLanguage() }, (data) => data.notifications, { isAlways: true });
  const latest = events[0];
  useReread(latestOf(latest, missed), again);
  const count = result.data?.unreadNotifications ?? 0;
  return (
    <>
      {count > 0 ? <span className="count" aria-label={t('{0} unread', count)}>{count}</span> : null}
      {latest ? <span className="hidden" role="status">{latest.sentence}</span> : null}
    </>
  );
}

function Offline() {
  const since = useStore(offlineSince);
  if (since === null) return null;
  return <div className="offline" role="status">{t('No connection. You read what was there at {0}; nothing can be changed.', time(new Date(since).toISOString()))}</div>;
}

const asPurpose = (text: string | undefined): { purpose?: PurposeOfUse } => (text === 'BTG' || text === 'ETREAT' ? { purpose: text } : {});

function Pages({ person }: { person: Person }) {
  const isDoctor = person.role === 'DOCTOR';
  const isAdmin = person.role === 'ADMIN';
  return (
    <Switch>
      <Route path="/">{isAdmin ? <Accounts /> : isDoctor ? <Patients /> : <Home />}</Route>
      <Route path="/mine"><Home /></Route>
      <Route path="/access"><Access /></Route>
      <Route path="/log"><Log /></Route>
      <Route path="/notices"><Notices /></Route>
      <Route path="/data"><MyData /></Route>
      <Route path="/integrity"><Integrity /></Route>
      <Route path="/account"><Account /></Route>
      <Route path="/organizations">{isAdmin ? <Organizations /> : <MyOrganizations />}</Route>
      <Route path="/countries"><Countries /></Route>
      <Route path="/representatives"><Representatives /></Route>
      <Route path="/for/:patient" nest>{({ patient }) => <Represented id={patient} />}</Route>
      <Route path="/queues"><Queues /></Route>
      <Route path="/trail"><Trail /></Route>
      <Route path="/patients/:id/import">{({ id }) => <Import patientId={id} />}</Route>
      <Route path="/patients/:id/new">{({ id }) => <NewRecord patientId={id} back={id === person.id ? '/' : `/patients/${id}`} />}</Route>
      <Route path="/patients/:id/as/:purpose">{({ id, purpose }) => <Patient id={id} {...asPurpose(purpose)} />}</Route>
      <Route path="/patients/:id">{({ id }) => <Patient id={id} />}</Route>
      <Route path="/records/:id/amend">{({ id }) => <AmendRecord id={id} />}</Route>
      <Route path="/records/:id/amend/as/:purpose">{({ id, purpose }) => <AmendRecord id={id} {...asPurpose(purpose)} />}</Route>
      <Route path="/records/:id/as/:purpose">{({ id, purpose }) => <Record id={id} {...asPurpose(purpose)} />}</Route>
      <Route path="/records/:id">{({ id }) => <Record id={id} />}</Route>
      <Route><Redirect to="/" replace /></Route>
    </Switch>
  );
}

/** Logs out where nothing was done for a while: a clinic's computer is used by many. Whether that is about to happen. */
function useIdleLogOut(): boolean {
  const [isLeaving, setLeaving] = useState(false);
  useEffect(() => {
    let last = Date.now();
    const note = () => {
      last = Date.now();
      setLeaving(false);
    };
    touch(last);
    const kinds = ['pointerdown', 'keydown', 'scroll'] as const;
    kinds.forEach((kind) => window.addEventListener(kind, note, { passive: true }));
    const look = () => {
      // The clock may have been set back.
      last = Math.min(last, Date.now());
      // Another tab may be in use.
      const idle = Date.now() - Math.max(last, lastUsed());
      setLeaving(idle > IDLE - WARNING);
      if (idle > IDLE) void logOut('idle').catch(() => {});
      else touch(last);
    };
    const timer = setInterval(look, 5_000);
    return () => {
      kinds.forEach((kind) => window.removeEventListener(kind, note));
      clearInterval(timer);
    };
  }, []);
  return isLeaving;
}

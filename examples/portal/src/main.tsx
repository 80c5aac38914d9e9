import { createRoot } from 'react-dom/client';
import { removeAbandoned } from './api/answers';
import { adopt, follow } from './api/refresh';
import { resume } from './api/session';
import { App } from './app';
import './style.css';
import { loadLanguage } from './words';

/** How long a new tab waits for the browser's log-in before it shows the form. Unit: milliseconds. */
const PATIENCE = 2_000;

/** Whether the page may keep something. Where all cookies are blocked, browsers refuse the storage, too, by an error. */
function keeps(): boolean {
  try {
    return Boolean(localStorage && sessionStorage);
  } catch {
    return false;
  }
}

async function start(root: HTMLElement): Promise<void> {
  resume();
  follow();
  await Promise.race([adopt().catch(() => {}), new Promise((done) => setTimeout(done, PATIENCE))]);
  await loadLanguage();
  createRoot(root).render(<App />);
  await removeAbandoned().catch(() => {});
  if (import.meta.env.PROD && 'serviceWorker' in navigator) await navigator.serviceWorker.register('./sw.js').catch(() => {});
}

const root = document.getElementById('root');
// The language is kept there, too: this is said in both.
if (root && !keeps()) root.textContent = 'Allow cookies and site data for this page, and load it again. · Izinkan cookie dan data situs untuk halaman ini, lalu muat ulang.';
else if (root) await start(root);

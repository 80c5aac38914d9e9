import { createRoot } from 'react-dom/client';
import { removeAbandoned } from './api/answers';
import { adopt, follow } from './api/refresh';
import { resume } from './api/session';
import { App } from './app';
import './style.css';
import { loadLanguage } from './words';

/** How long a new tab waits for the browser's log-in before it shows the form. Unit: milliseconds. */
const PATIENCE = 2_000;

resume();
follow();
await Promise.race([adopt().catch(() => {}), new Promise((done) => setTimeout(done, PATIENCE))]);
await loadLanguage();
const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);
await removeAbandoned().catch(() => {});
if (import.meta.env.PROD && 'serviceWorker' in navigator) await navigator.serviceWorker.register('./sw.js').catch(() => {});

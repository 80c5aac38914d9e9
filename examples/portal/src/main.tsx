import { createRoot } from 'react-dom/client';
import { removeAbandoned } from './api/answers';
import { logOut } from './api/client';
import { isIdle, resume, session } from './api/session';
import { App } from './app';
import './style.css';
import { loadLanguage } from './words';

resume();
if (session.get() && isIdle()) void logOut('idle').catch(() => {});
await loadLanguage();
const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);
await removeAbandoned().catch(() => {});
if (import.meta.env.PROD && 'serviceWorker' in navigator) await navigator.serviceWorker.register('./sw.js').catch(() => {});

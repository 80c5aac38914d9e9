import { createRoot } from 'react-dom/client';
import { removeAbandoned } from './api/answers';
import { resume } from './api/session';
import { App } from './app';
import './style.css';
import { loadLanguage } from './words';

resume();
await loadLanguage();
const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);
await removeAbandoned().catch(() => {});
if (import.meta.env.PROD && 'serviceWorker' in navigator) await navigator.serviceWorker.register('./sw.js').catch(() => {});

// A page of its own, without a log-in: it may ask any node, and has no token that it could give away.
import { createRoot } from 'react-dom/client';
import '../style.css';
import { loadLanguage } from '../words';
import { VerifyPage } from './page';

await loadLanguage();
const root = document.getElementById('root');
if (root) createRoot(root).render(<VerifyPage />);

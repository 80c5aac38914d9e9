// Whether pages renew themselves while they are read. Who is disturbed by what moves turns it off (WCAG 2.2.2).
import { store } from './store';

const KEY = 'meditrustal:still';

export const isLive = store<boolean>(!isKept());

export function setLive(next: boolean): void {
  if (next) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, 'true');
  isLive.set(next);
}

/** Not so where the browser refuses its storage, which is told before anything else (`main.tsx`). */
function isKept(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}

// Where somebody was on a page: which tab, which filter, how far down. Whoever opens a record and comes back goes on there.
// It is in memory, and gone with the log-in.
import { useEffect, useLayoutEffect, useState } from 'react';
import { session } from './session';

let kept = new Map<string, unknown>();
session.subscribe(() => (kept = new Map()));

/** A state that is there again when its page is. */
export function useKept<T>(name: string, initial: T): [T, (next: T) => void] {
  const [key] = useState(() => `${location.hash} ${name}`);
  const [value, setValue] = useState<T>(() => (kept.has(key) ? (kept.get(key) as T) : initial));
  const set = (next: T) => {
    kept.set(key, next);
    setValue(next);
  };
  return [value, set];
}

/** How long a page that is gone back to may take until it is as long as it was. Unit: milliseconds. */
const PATIENCE = 1_500;
let isGoingBack = false;

/** Begins each page at its top, and one that the browser goes back to where it was left. */
export function useScroll(page: string): void {
  useEffect(() => {
    history.scrollRestoration = 'manual';
    const note = () => (isGoingBack = true);
    window.addEventListener('popstate', note);
    return () => window.removeEventListener('popstate', note);
  }, []);
  useLayoutEffect(() => {
    const key = `${page} scroll`;
    const wanted = isGoingBack ? Number(kept.get(key) ?? 0) : 0;
    isGoingBack = false;
    const until = performance.now() + PATIENCE;
    let frame = 0;
    const go = () => {
      window.scrollTo(0, wanted);
      if (window.scrollY < wanted && performance.now() < until) frame = requestAnimationFrame(go);
    };
    const stop = () => cancelAnimationFrame(frame);
    const note = () => kept.set(key, window.scrollY);
    const hands = ['wheel', 'touchmove', 'keydown', 'pointerdown'] as const;
    go();
    window.addEventListener('scroll', note, { passive: true });
    hands.forEach((kind) => window.addEventListener(kind, stop, { passive: true }));
    return () => {
      stop();
      window.removeEventListener('scroll', note);
      hands.forEach((kind) => window.removeEventListener(kind, stop));
    };
  }, [page]);
}

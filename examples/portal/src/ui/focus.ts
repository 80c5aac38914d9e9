import { useEffect } from 'react';

/** How long a dialog that closes has to give the focus back. Unit: milliseconds. */
const GRACE = 150;

/**
 * Takes the focus to the heading where what had it is gone, such as the button beside a line that was removed. Else whoever
 * goes by the keyboard would begin at the top of the page.
 */
export function useLostFocus(): void {
  useEffect(() => {
    let last: Element | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const note = (event: FocusEvent) => (last = event.target as Element);
    const isLost = () => last !== null && !last.isConnected && document.activeElement === document.body;
    const find = () => {
      if (!isLost()) return;
      last = null;
      document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
    };
    const observer = new MutationObserver(() => {
      if (!isLost()) return;
      clearTimeout(timer);
      timer = setTimeout(find, GRACE);
    });
    document.addEventListener('focusin', note);
    observer.observe(document.body, { childList: true, subtree: true });
    return () => {
      document.removeEventListener('focusin', note);
      observer.disconnect();
      clearTimeout(timer);
    };
  }, []);
}

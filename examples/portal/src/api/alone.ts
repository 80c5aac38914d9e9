// One tab at a time.

/** How long other tabs are waited for: one that the browser has frozen holds what it has until it is looked at. Unit: milliseconds. */
const WAIT = 15_000;

/** Another tab has the cookie, and does not let it go. */
export class OtherTabBusy extends Error {
  override name = 'OtherTabBusy';
}

/**
 * Does what uses or replaces the cookie, while no other tab does: of two answers at once the older one could set it last. Throws
 * `OtherTabBusy` where another tab does not finish: without the lock, one refresh token could be used twice, which ends the log-in.
 * Where there are no locks, the page is not of a secure origin, and has no cookie.
 */
export async function alone<T>(action: () => Promise<T>, wait = WAIT): Promise<T> {
  if (!('locks' in navigator)) return action();
  const signal = AbortSignal.timeout(wait);
  const work: { hasBegun: boolean; done?: T } = { hasBegun: false };
  try {
    await navigator.locks.request('meditrustal-portal-cookie', { signal }, async () => {
      work.hasBegun = true;
      work.done = await action();
    });
  } catch (cause) {
    throw work.hasBegun || !signal.aborted ? cause : new OtherTabBusy('another tab does not finish', { cause });
  }
  return work.done as T;
}

// The access token, and how long it is good. Clocks of browsers are wrong by minutes and by years: what counts is how long the api says that
// a token lives, from its answer on, by a clock that nobody sets. Where that stood still while the machine slept, the api says
// TOKEN_EXPIRED, and the token is exchanged then.

export interface Access {
  readonly token: string;
  /** By `performance.now()`. Unit: milliseconds. */
  readonly endsAt: number;
}

interface Given {
  readonly accessToken: string;
  readonly expiresAt: string;
}

/** What an answer gave that came now. */
export function accessOf(of: Given): Access {
  const lifetime = lifetimeOf(of.accessToken) ?? Date.parse(of.expiresAt) - Date.now();
  return { token: of.accessToken, endsAt: performance.now() + lifetime };
}

/** Whether it is good for this long still. Unit: milliseconds. */
export const isGood = (access: Access, ahead = 0): boolean => access.endsAt - ahead > performance.now();

/** From when it was issued until it ends, both by the api's clock; none where it does not say. Unit: milliseconds. */
function lifetimeOf(token: string): number | undefined {
  try {
    const claims = token.split('.')[1] ?? '';
    const { iat, exp } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/'))) as { iat?: unknown; exp?: unknown };
    return typeof iat === 'number' && typeof exp === 'number' ? (exp - iat) * 1_000 : undefined;
  } catch {
    return undefined;
  }
}

import { useEffect, useState } from 'react';
import { apiUrl } from '../api/address';

export interface HealthAnswer {
  readonly isReady: boolean;
  readonly text: string;
}

/** What the api says of itself, every ten seconds. */
export function useHealth(): HealthAnswer | undefined {
  const [health, setHealth] = useState<HealthAnswer>();
  useEffect(() => {
    let isOver = false;
    const ask = async () => {
      const answer = await fetch(new URL('health/ready', apiUrl), { cache: 'no-store' })
        .then(async (response) => ({ isReady: response.ok, text: await response.text() }))
        .catch((cause: unknown) => ({ isReady: false, text: String(cause) }));
      if (!isOver) setHealth(answer);
    };
    void ask();
    const timer = setInterval(ask, 10_000);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, []);
  return health;
}

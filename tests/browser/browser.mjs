// A browser for one walk through pages: with a profile of its own, in which whatever must not happen is collected.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { chromium } from './chromium.mjs';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--no-default-browser-check',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-dev-shm-usage',
  '--disable-domain-reliability',
  '--disable-sync',
  '--no-proxy-server',
];

/** What did not come true. */
export class Failure extends Error {}

/** What must not happen and did. */
export const complaints = [];

let browser;
let profile;

const interrupted = (signal) => () => cleanUp().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
process.once('SIGINT', interrupted('SIGINT'));
process.once('SIGTERM', interrupted('SIGTERM'));

/** Starts it, until `cleanUp`; answers it, a page of it, and the directory of its profile. */
export async function start({ timeoutMillis, viewport, flags = [], environment = {} }) {
  const { executablePath, env } = await chromium();
  profile = await mkdtemp(join(tmpdir(), 'meditrustal-profile-'));
  browser = await puppeteer.launch({
    executablePath,
    env: { ...env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile, ...environment },
    userDataDir: profile,
    headless: 'shell', // the packaged Chromium is the headless shell, which knows no other way
    pipe: true, // no debugging port, and the browser ends with us even if we are killed
    args: [...FLAGS, ...flags],
    defaultViewport: viewport,
    timeout: timeoutMillis,
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(timeoutMillis);
  return { browser, page, profile };
}

/** Has a page complain of errors and of breaches of the content security policy; answers the session that listens. */
export async function watchErrors(page, complain) {
  const session = await page.createCDPSession();
  await session.send('Log.enable');
  await session.send('Audits.enable');
  // Log.entryAdded has what no script logs: refused by the policy, failed to load.
  session.on('Log.entryAdded', ({ entry }) => {
    if (entry.level === 'error') complain(`browser log: ${entry.text} ${entry.url ?? ''}`.trim());
  });
  session.on('Audits.issueAdded', ({ issue }) => {
    const breach = issue.details.contentSecurityPolicyIssueDetails;
    if (breach) complain(`content security policy: ${breach.violatedDirective} ${breach.blockedURL ?? ''}`.trim());
  });
  page.on('console', (message) => {
    if (['error', 'assert'].includes(message.type())) complain(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complain(`page error: ${error.message ?? error}`));
  return session;
}

/** Does a step and prints a line of it; it fails, too, where there are complaints. */
export async function step(name, action) {
  const before = performance.now();
  const detail = await action();
  if (complaints.length) throw new Failure(`${name}: the browser complained`);
  console.log(`${name}: ${detail} (${Math.round(performance.now() - before)} ms)`);
}

/** Ends the browser and removes its profile. */
export async function cleanUp() {
  await browser?.close().catch(() => {});
  if (profile) await rm(profile, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  profile = browser = undefined;
}

/** A text as a pattern that it alone matches. */
export function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

// Goes through the portal as its people would, in a real browser:
//
//   node tests/browser/portal.mjs --url http://127.0.0.1:8000 --people F --node http://127.0.0.1:8545 --registry 0x…
//       [--api http://127.0.0.1:8001] [--screenshots DIR] [--pictures] [--timeout SECONDS]
//
// F is a JSON file: { "patient": { "login", "password" }, "doctor": …, "admin": … }. The patient has let nobody in.
// What is approved to be erased has to be erased at once. --api is asked by those who are not in this browser; by default --url.
// With --pictures each view is kept in --screenshots; else only the one at which the walk fails.
//
// Whoever starts it changes the hash of the laboratory result when the line "administrator looks for findings" is printed, and puts it
// back at "administrator sees a finding".
//
// A patient logs in, and no script has the refresh token, in any of several tabs. The patient makes a code by the keyboard alone; a doctor uses it, writes and amends records, one with a file; an auditor verifies a file by the
// node, and follows the chain without an account; the patient reads all of it, sees who reads it meanwhile and a record change while it is open, also without a connection, takes the access away, names
// the doctor as a representative, is told of an emergency, and has the vital signs erased. An administrator decides, adds
// the doctor to an organisation, holds data, proposes a representative and sets the rule of a country. Every page is looked at by axe-core (WCAG 2.2 AA), in light and dark, wide and 360 pixels narrow.
//
// Prints a line per step. Fails, with exit code 1 and a sentence, when a step does not come true in time, and on any
// console error, page error, breach of the content security policy, or request to another origin but the node.
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure, cleanUp, complaints, escape, start, step, watchErrors } from './browser.mjs';

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    api: { type: 'string' },
    people: { type: 'string' },
    node: { type: 'string' },
    registry: { type: 'string' },
    screenshots: { type: 'string' },
    pictures: { type: 'boolean', default: false },
    timeout: { type: 'string', default: '30' },
  },
});
const origin = new URL(options.url).origin;
const api = new URL(options.api ?? options.url).origin;
const node = new URL(options.node).origin;
const portal = fileURLToPath(new URL('../../examples/portal/', import.meta.url));
const axe = await readFile(createRequire(join(portal, 'package.json')).resolve('axe-core/axe.min.js'), 'utf8');
const people = JSON.parse(await readFile(options.people, 'utf8'));
const visited = [];
let looked = 0;
let expected = [];
let browser;
let profile;
let page;

try {
  await begin();
  await run();
  console.log(`all of it: ${looked} views were looked at by axe-core`);
} catch (error) {
  process.exitCode = 1;
  console.error(`portal: FAILED: ${error instanceof Failure ? error.message : error.stack}`);
  complaints.forEach((complaint) => console.error(`  ${complaint}`));
  if (page) console.error((await page.evaluate(() => document.body.innerText).catch(() => '')).slice(0, 1500));
  await shot('failed').catch(() => {});
} finally {
  await cleanUp();
}

async function run() {
  let code;
  let patientId;
  let doctorId;
  let file;

  await step('page loads', async () => {
    const answer = await page.goto(`${origin}/portal`, { waitUntil: 'load' });
    const policy = answer.headers()['content-security-policy'] ?? '';
    if (!/connect-src 'self';/.test(policy)) throw new Failure(`the policy lets the page reach others: ${policy}`);
    await see('h1', /Log in/);
    await look('log-in');
    return page.url();
  });

  await step('wrong password', async () => {
    await logIn({ ...people.patient, password: 'not the password at all' });
    await see('[data-code="WRONG_CREDENTIALS"]', /wrong/i);
    return 'is told what to do';
  });

  await step('no script has the refresh token', async () => {
    await page.reload({ waitUntil: 'load' });
    await logIn(people.patient);
    await see('h1', /My records/);
    const first = await refreshCookie();
    if (!first) throw new Failure('the browser has no refresh cookie');
    const { httpOnly, secure, sameSite, path } = first;
    if (!httpOnly || !secure || sameSite !== 'Strict' || path !== '/') throw new Failure(`the cookie is ${JSON.stringify({ httpOnly, secure, sameSite, path })}`);
    await keepsNoToken(first.value);
    return 'not in the storage, and not in a document';
  });

  await step('a reload goes on by the cookie', async () => {
    const before = await refreshCookie();
    await page.reload({ waitUntil: 'load' });
    await open('Account');
    await see('dd code', /[0-9a-f-]{36}/);
    const after = await refreshCookie();
    if (!after || after.value === before.value) throw new Failure('the cookie was not exchanged');
    await keepsNoToken(before.value, after.value);
    return 'which is another one then';
  });

  await step('several tabs have one log-in', async () => {
    const tabs = [page, ...(await Promise.all([1, 2].map(() => anotherTab())))];
    const everywhere = (css, pattern) => Promise.all(tabs.map((tab) => shows(tab, css, pattern)));
    await Promise.all(tabs.slice(1).map((tab) => tab.goto(`${origin}/portal/#/account`, { waitUntil: 'load' })));
    await everywhere('dd code', /[0-9a-f-]{36}/);
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(tabs.map((tab) => tab.reload({ waitUntil: 'load' })));
      await everywhere('dd code', /[0-9a-f-]{36}/);
    }
    await page.bringToFront();
    await logOut();
    await everywhere('h1', /Log in/);
    for (const tab of tabs.slice(1)) await tab.close();
    return 'exchange its cookie one after the other, and are logged out together';
  });

  await step('patient makes a code by the keyboard alone', async () => {
    await page.reload({ waitUntil: 'load' });
    await see('h1', /Log in/);
    await follow('To the content', { isBefore: true });
    await page.waitForFunction(() => document.activeElement?.tagName === 'H1');
    await tabTo('User name or e-mail address');
    await page.keyboard.type(people.patient.login);
    await tabTo('Password');
    await page.keyboard.type(people.patient.password);
    await page.keyboard.press('Enter');
    await see('h1', /My records/);
    await follow('Account', { isBefore: true });
    await see('dd code', /[0-9a-f-]{36}/);
    patientId = await textOf('dd code');
    await look('account');
    await follow('Deactivate the account …');
    await see('[role="alertdialog"]', /Deactivate your account/);
    await staysInDialog();
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.activeElement?.textContent === 'Deactivate the account …');
    await follow('Who saw what', { isBefore: true });
    await see('h1', /Who saw what/);
    await tabTo('One by one');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => document.activeElement?.textContent === 'By day' && document.activeElement.ariaSelected === 'true');
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => document.activeElement?.textContent === 'One by one');
    await follow('Access', { isBefore: true });
    await see('h1', /Access/);
    await follow('Make a code');
    await see('[data-testid="access-code"]', /\S/);
    code = await textOf('[data-testid="access-code"]');
    await look('access');
    await follow('Log out', { isBefore: true });
    await see('h1', /Log in/);
    await isLoggedOut();
    return 'the focus is seen wherever it is, stays in a dialog, and comes back from it';
  });

  await step('doctor uses it', async () => {
    await logIn(people.doctor);
    await see('h1', /Patients/);
    await look('patients');
    await type('Code', code);
    await press('Use the code');
    await see('.notice.good', /let you in/);
    const told = await textOf('.notice.good');
    await open('Representatives');
    await see('main code', /[0-9a-f-]{36}/);
    doctorId = await textOf('main code');
    await see('main', /You act for nobody/);
    return told;
  });

  await step('doctor writes vital signs', async () => {
    await go(`#/patients/${patientId}/new`);
    await see('h1', /Write a record/);
    await type('Heart rate', '62.0');
    await type('Systolic blood pressure', '128');
    await press('Store the record');
    await see('.notice.bad', /two values/);
    await type('Diastolic blood pressure', '82');
    await look('write-vital-signs');
    await press('Store the record');
    await see('.measurements', /62\.0 \/min/);
    await look('record');
    return 'and 62.0 stays 62.0';
  });

  await step('doctor amends them', async () => {
    await clickLink('Amend');
    await see('h1', /Amend a record/);
    await see('form', /Heart rate/);
    await type('Heart rate', '64.0', { clear: true });
    await type('Why is it amended?', 'The first reading was of the monitor beside.');
    await look('amend');
    await press('Store the new version');
    await see('.measurements', /64\.0 \/min/);
    await see('main', /Why this version was written/);
    return 'by the form that wrote them';
  });

  await step('doctor writes them again a day before', async () => {
    await go(`#/patients/${patientId}/new`);
    await see('h1', /Write a record/);
    await type('Heart rate', '70');
    await page.$eval('input[type="datetime-local"]', (input) => {
      const before = new Date(Date.now() - 36 * 3_600_000).toISOString().slice(0, 16);
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, before);
      input.dispatchEvent(new Event('input', { bubbles: true }));
    });
    await press('Store the record');
    await see('.measurements', /70 \/min/);
    return 'for a trend';
  });

  await step('doctor writes a laboratory result', async () => {
    await go(`#/patients/${patientId}/new`);
    await choose('What', 'LAB_RESULT');
    await choose('Which test', '4548-4');
    await type('Value', '8.10');
    await type('Reference from', '4.0');
    await type('Reference to', '5.6');
    await choose('Interpretation', 'H');
    await type('Laboratory', 'Laboratorium Klinik Sehat Sentosa');
    await type('Conclusion', 'Above the reference range.');
    await look('write-laboratory');
    await press('Store the record');
    await see('.measurements', /8\.10 %/);
    return '8.10 stays 8.10';
  });

  await step('doctor writes a letter with a file', async () => {
    const letter = join(profile, 'letter.txt');
    await writeFile(letter, 'Discharged in good health.\n');
    await go(`#/patients/${patientId}/new`);
    await choose('What', 'PAPER');
    const input = await page.waitForSelector('main input[type="file"]');
    await input.uploadFile(letter);
    await see('main', /text\/plain/);
    await look('write-file');
    await press('Store the record');
    await see('.files', /letter/);
    await see('.files', /text\/plain/);
    await look('files');
    const saved = await download(() => press('Save letter'), '.txt');
    if ((await readFile(saved, 'utf8')) !== (await readFile(letter, 'utf8'))) throw new Failure('the file is another one');
    return 'and reads it again';
  });

  await step('doctor writes a prescription', async () => {
    await go(`#/patients/${patientId}/new`);
    await choose('What', 'PRESCRIPTION');
    await type('Medication', 'Metformin 500 mg film-coated tablet');
    await type('ATC code', 'A10BA02');
    await type('Instructions', 'One tablet twice a day with meals');
    await type('Dose', '500');
    await type('Times a day', '2');
    await type('For how many days', '30');
    await look('write-prescription');
    await press('Store the record');
    await see('.summary', /One tablet twice a day/);
    await look('prescription');
    return await textOf('h1');
  });

  await step('doctor brings a file of records in', async () => {
    const records = join(profile, 'records.ndjson');
    const pressure = (systolic, effective) => JSON.stringify({
      resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }], text: 'Heart rate' },
      category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'vital-signs' }] }],
      subject: { reference: `Patient/${patientId}` }, effectiveDateTime: effective, valueQuantity: { value: systolic, unit: '/min', system: 'http://unitsofmeasure.org', code: '/min' },
    });
    await writeFile(records, `${pressure(71, '2026-01-05T09:00:00+07:00')}\n{"resourceType":"Observation"}\n`);
    await go(`#/patients/${patientId}`);
    await clickLink('Bring records in');
    await see('h1', /Bring records in/);
    await (await page.waitForSelector('#import-file')).uploadFile(records);
    await press('Look at it');
    await see('main', /nothing was stored/);
    await see('[data-testid="import-counts"]', /Would be stored\s*1/);
    await see('[data-testid="import-counts"]', /Refused\s*1/);
    await look('import');
    await page.locator('main label ::-p-text(Only look)').click();
    await press('Bring it in');
    await see('main', /All of it was taken/);
    await see('[data-testid="import-counts"]', /Stored\s*1/);
    return 'looked at before, then stored; what is no document is told of';
  });

  await step('saves its file', async () => {
    await go(`#/patients/${patientId}`);
    await clickLink('Metformin', true);
    await see('.summary', /One tablet twice a day/);
    file = await download(() => press('Save the file'), '.json');
    return basename(file);
  });

  await step('compares it with the chain', async () => {
    await eventually('the verdict VERIFIED', async () => {
      await press('Compare now');
      await page.waitForSelector('[data-verdict]');
      return (await page.$('[data-verdict="VERIFIED"]')) !== null;
    });
    await logOut();
    return 'VERIFIED';
  });

  await step('an auditor verifies the file', async () => {
    await page.goto(`${origin}/portal/verify.html`, { waitUntil: 'load' });
    await look('verify');
    await verify(file, { second: true });
    await see('[data-testid="verdict"][data-verdict="ACTIVE"]', /stands/);
    await see('main', /agrees/);
    if (await page.$eval('main', (main) => /not the registry that this page knows/.test(main.innerText))) throw new Failure('the code of the registry is not known');
    await look('verified');
    const changed = join(profile, 'changed.json');
    await writeFile(changed, (await readFile(file, 'utf8')).replace('twice', 'thrice'));
    await verify(changed, { second: false });
    await see('[data-testid="verdict"][data-verdict="NONE"]', /does not know/);
    return 'it stands; the file with one word changed is not known';
  });

  await step('an auditor follows the chain without an account', async () => {
    await page.goto(`${origin}/portal/`, { waitUntil: 'load' });
    await see('h1', /Log in/);
    await clickLink('What is on the blockchain');
    await see('h1', /What is on the blockchain/);
    await press('From the beginning');
    await see('table', /Record anchored/);
    await look('public');
    return 'hashes alone';
  });

  await step('patient reads it', async () => {
    await page.goto(`${origin}/portal/`, { waitUntil: 'load' });
    await logIn(people.patient);
    await see('.timeline', /Metformin/);
    await see('.timeline', /version 2/);
    await look('timeline');
    const opening = await askedOfRecords(async () => {
      await clickLink('Metformin', true);
      await see('.summary', /One tablet twice a day/);
      await press('Have it erased …');
      await see('[role="dialog"]', /administrators decide/);
      await look('erase-record');
      await press('Do nothing', '[role="dialog"] ');
    });
    if (opening !== 'OrderedRecord') throw new Failure(`a record is opened by ${opening}`);
    const looking = await askedOfRecords(async () => {
      await unfold('Show who saw it');
      await see('.log', /opened a record of yours/);
    });
    if (looking !== 'RecordAccess') throw new Failure(`who saw a record is asked for by ${looking}`);
    await look('who-saw-it');
    await page.evaluate(() => history.back());
    await see('.timeline', /Metformin/);
    await clickTab('Trends');
    await see('.grid', /8\.10 %/);
    await page.waitForSelector('.chart canvas');
    await look('trends');
    return await textOf('.grid h2');
  });

  await step('patient sees who saw it', async () => {
    await open('Who saw what');
    await see('.log', /added a record/);
    await look('log');
    await readElsewhere(people.doctor, patientId);
    await see('main .hidden[role="status"]', new RegExp(escape(people.doctor.login)));
    await clickTab('By day');
    await see('table', new RegExp(escape(people.doctor.login)));
    await open('Integrity');
    await see('table', /Anchor/);
    await look('integrity');
    await open('Notices');
    await see('main', /All of them are read/);
    await look('notices');
    await open('Organisations');
    await see('main', /All organisations/);
    await look('organisations-patient');
    return 'log, a reading as it happens, days, events';
  });

  await step('an open record renews itself', async () => {
    const doctor = await elsewhere(people.doctor);
    await open('My records');
    await clickLink('64.0', true);
    await see('.measurements', /64\.0 \/min/);
    const address = page.url();
    await page.evaluate(() => (window.isTheSamePage = true));
    const record = new URL(address).hash.split('/').at(-1);
    const second = await doctor.amend(record, '65.0');
    await see('[data-testid="renewed"] [role="status"]', /It was amended while you had it open. This is version 3/);
    await see('.measurements', /65\.0 \/min/);
    await look('renewed');
    // What is done in a dialog is about what was read.
    await press('Have it erased …');
    await see('[role="dialog"]', /administrators decide/);
    const third = await doctor.amend(second, '66.0');
    await page.waitForFunction(() => [...document.querySelectorAll('[data-testid="renewed"]')].some((each) => /A newer version was stored/.test(each.textContent)));
    await see('.measurements', /65\.0 \/min/);
    await press('Do nothing', '[role="dialog"] ');
    // The focus is back at the foot of the page, and the head of the page lies over what has scrolled beneath it.
    await page.waitForFunction(() => !document.querySelector('[role="dialog"]'));
    await page.evaluate(() => scrollTo(0, 0));
    await press('Show the newer version');
    await see('.measurements', /66\.0 \/min/);
    await see('.facts', /in a block that can still be undone|final on the chain/);
    await press('Show what you had open');
    await see('.measurements', /64\.0 \/min/);
    await see('main', /A newer version took its place/);
    await clickLink('Open it');
    await see('.measurements', /65\.0 \/min/);
    // It is followed once the api has said that it is the newest one: what is shown until then was kept.
    const isRead = (body) => body.includes('CommonRecord') && body.includes(third);
    await Promise.all([page.waitForResponse((answer) => isRead(answer.request().postData() ?? '')), clickLink('Open it')]);
    await see('.measurements', /66\.0 \/min/);
    await unfold('Show the versions');
    await see('main ol', /version 1\b/);
    await doctor.withdraw(third);
    await see('[data-testid="renewed"] [role="status"]', /marked as entered in error while you had it open/);
    await see('.notice.bad', /do not rely on it/);
    await look('withdrawn');
    if (!(await page.evaluate(() => window.isTheSamePage))) throw new Failure('the page was loaded again');
    // Of a record of which nothing is known but its address, too.
    const opening = await askedOfRecords(async () => {
      await page.reload({ waitUntil: 'load' });
      await see('.measurements', /66\.0 \/min/);
      await see('main', /A newer version took its place/);
    });
    if (opening !== 'CommonRecord') throw new Failure(`a record is opened by its address by ${opening}`);
    return 'amended and withdrawn by somebody elsewhere';
  });

  await step('so does a list', async () => {
    const doctor = await elsewhere(people.doctor);
    await open('My records');
    await see('.timeline', /Metformin/);
    if (/67\.5/.test(await textOf('.timeline'))) throw new Failure('it is there before it is written');
    await doctor.write(patientId, '67.5');
    await see('.timeline', /67\.5/);
    // By now the list follows what happens, and is told of it.
    await doctor.write(patientId, '68.5');
    await see('main .hidden[role="status"]', /Changed while you read/);
    await see('.timeline', /68\.5/);
    await renewing();
    await doctor.write(patientId, '69.5');
    if (/69\.5/.test(await textOf('.timeline'))) throw new Failure('the list is renewed although that is turned off');
    await renewing();
    await see('.timeline', /69\.5/);
    return 'with what a doctor writes elsewhere';
  });

  await step('without a connection', async () => {
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await open('My records');
    await see('.timeline', /Metformin/);
    await page.setOfflineMode(true);
    expected = [/ERR_INTERNET_DISCONNECTED/, /Failed to fetch/, /status 0/];
    await page.reload({ waitUntil: 'load' });
    await see('.offline', /No connection/);
    await see('.timeline', /Metformin/);
    await look('offline');
    await page.setOfflineMode(false);
    await open('Access');
    await see('.holders', new RegExp(escape(people.doctor.login)));
    expected = [];
    return 'what was read can be read';
  });

  await step('patient sees what a consent would change', async () => {
    await type('Name of the doctor', people.doctor.login);
    await press(`Refuse ${people.doctor.login}`);
    await see('[role="dialog"]', /Who loses access \(1\)/);
    await see('[data-testid="preview"]', new RegExp(escape(people.doctor.login)));
    await look('preview');
    await press('Do nothing', '[role="dialog"] ');
    await see('.holders', new RegExp(escape(people.doctor.login)));
    return await textOf('.holders strong');
  });

  await step('patient takes the access away', async () => {
    await press('Take access away');
    await see('[role="alertdialog"]', /ends at once/);
    await see('[role="alertdialog"] [data-testid="preview"]', /Who loses access \(1\)/);
    await look('take-away');
    await press('Take access away', '[role="alertdialog"] ');
    await eventually('that nobody has access', async () => /Nobody but you/.test(await textOf('main')));
    return 'in two clicks';
  });

  await step('in Indonesian', async () => {
    await page.select('.language', 'id');
    await see('h1', /Akses/);
    await look('indonesian');
    await open('Siapa melihat apa');
    await clickTab('Satu per satu');
    await see('.log', /Anda mencabut persetujuan/);
    const told = await textOf('.log');
    if (/\b(your|you)\b/i.test(told)) throw new Failure(`a sentence is in English: ${told}`);
    await look('log-indonesian');
    await page.select('.language', 'en');
    await see('.log', /You took a consent back/);
    await logOut();
    return 'also what the api writes';
  });

  await step('nothing is left of who logged out', async () => {
    const databases = () => page.evaluate(async () => (await indexedDB.databases()).length);
    await eventually('the database to be removed', async () => (await databases()) === 0);
    const left = await page.evaluate(async () => ({
      session: { ...sessionStorage },
      local: Object.keys(localStorage).filter((name) => name !== 'meditrustal:language'),
      databases: (await indexedDB.databases()).map(({ name }) => name),
      caches: (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url)))).flat(),
    }));
    if (Object.keys(left.session).length > 0 || left.local.length > 0 || left.databases.length > 0) throw new Failure(`left: ${JSON.stringify(left)}`);
    if (left.caches.some((url) => !url.includes('/portal/'))) throw new Failure(`kept by the service worker: ${left.caches}`);
    return `${left.caches.length} files of the portal`;
  });

  await step('a tab that is opened again after a while', async () => {
    await logIn(people.patient);
    await see('h1', /My records/);
    await page.evaluate(() => {
      localStorage.setItem('meditrustal:portal:used', String(Date.now() - 16 * 60_000));
      location.reload();
    });
    await see('.notice', /nothing was done for 15 minutes/);
    await eventually('the database to be removed', () => page.evaluate(async () => (await indexedDB.databases()).length === 0 && sessionStorage.length === 0));
    await isLoggedOut();
    return 'is logged out, and so is the cookie';
  });

  await step('patient names a representative', async () => {
    await logIn(people.patient);
    await open('Representatives');
    await see('main', /Nobody acts for you/);
    await press('Name somebody …');
    await type('ID of their account', doctorId, { within: '[role="dialog"] ' });
    await look('name-representative');
    await press('Name them', '[role="dialog"] ');
    await see('.representatives', new RegExp(escape(people.doctor.login)));
    await see('.representatives', /in force/);
    await look('representatives');
    await logOut();
    return 'for a year, to read';
  });

  await step('the representative is told, and acts', async () => {
    await logIn(people.doctor);
    await see('.count', /1/);
    await open('Notices');
    await see('.log', /Representative appointed/);
    await press('Mark all as read');
    await see('main', /All of them are read/);
    await open('Representatives');
    await page.locator(`main .represented a ::-p-text(${people.patient.login}), main .represented a::-p-text(${people.patient.login})`).click();
    await see('.acting', new RegExp(`You act for ${escape(people.patient.login)}`));
    await see('.timeline', /Metformin/);
    await look('represented');
    await clickLink('Metformin', true);
    await see('.summary', /One tablet/);
    await see('.acting', /Act for yourself again/);
    await look('represented-record');
    await clickLink('Act for yourself again');
    await see('h1', /Representatives/);
    await logOut();
    return 'and reads without a consent';
  });

  await step('doctor breaks the glass', async () => {
    await logIn(people.doctor);
    await see('h1', /Patients/);
    await press('Emergency access …');
    await type('ID of the patient', patientId, { within: '[role="dialog"] ' });
    await type('Why it cannot wait', 'Unconscious, and nobody knows the medication.', { within: '[role="dialog"] ' });
    await look('emergency');
    await press('Open the records', '[role="dialog"] ');
    await see('.timeline', /Open the record|Metformin/);
    await look('emergency-records');
    await clickLink('Metformin', true);
    await see('.summary', /One tablet/);
    await open('Patients');
    await press('End it');
    await press('End it', '[role="alertdialog"] ');
    await eventually('the emergency access to be over', async () => /Your emergency accesses/.test(await textOf('main')) && !/open now/.test(await textOf('main')));
    await logOut();
    return 'reads the prescription, and ends it';
  });

  await step('patient is told, and asks to be forgotten', async () => {
    await logIn(people.patient);
    await see('.count', /1/);
    await open('Notices');
    await see('.log', /emergency access/);
    await see('.windows', /Unconscious/);
    await look('notice');
    await press('Mark all as read');
    await open('Representatives');
    await press('End it');
    await press('End it', '[role="alertdialog"] ');
    await see('.representatives', /ended/);
    await open('My data');
    // What is loaded above them moves the choices: a click before would meet something else.
    await see('main', /Save the archive/);
    await unfold('What is in it');
    await see('main details[open] table', /records/);
    const archive = await readFile(await download(() => press('Save the archive'), '.tar'));
    // The mark of a tar file stands behind the name, the rights and the times of its first file.
    if (archive.toString('latin1', 257, 262) !== 'ustar' || !archive.includes('Metformin')) throw new Failure('the archive is no archive of the records');
    await page.locator('.choices label ::-p-text(Vital signs)').click();
    await look('my-data');
    await press('Ask for it');
    await press('Prove who you are');
    await type('Password', people.patient.password, { within: '[role="dialog"] ' });
    await press('Prove it', '[role="dialog"] ');
    await see('[data-status="UNDER_REVIEW"]', /administrators decide/);
    await look('requested');
    await logOut();
    return 'under review';
  });

  await step('administrator decides', async () => {
    await logIn(people.admin);
    await see('h1', /Accounts/);
    await see('.plain', new RegExp(escape(people.patient.login)));
    await look('accounts');
    await open('Organisations');
    await type('Name', `Klinik ${patientId.slice(0, 8)}`);
    await press('Make it');
    await see('.plain', /Klinik/);
    await press('Members');
    await type('Add a doctor', people.doctor.login);
    await press(`Add ${people.doctor.login}`);
    await see('.members', new RegExp(escape(people.doctor.login)));
    await look('organisations');
    await open('Countries');
    await press('Add a rule');
    await type('Country (two letters)', 'SG', { within: '[role="dialog"] ' });
    await page.locator('[role="dialog"] label ::-p-text(Safeguards bind)').click();
    await look('country-rule');
    await press('Store the rule', '[role="dialog"] ');
    await type('Search', 'Singapore');
    await see('table', /Singapore \(SG\)/);
    await look('countries');
    await open('Audit trail');
    await see('.trail', /_READ · /);
    await type('Action', 'record read');
    await press('Show these rows');
    await see('.trail', new RegExp(`RECORD_READ · ${escape(people.doctor.login)}`));
    await page.locator('.trail summary').click();
    await see('.trail details[open]', /Request/);
    await look('trail');
    await open('Integrity');
    await see('main', /ready/);
    await press('From the beginning');
    await see('table', /Anchor/);
    await look('health');
    await open('To decide');
    await see('.requests', new RegExp(escape(people.patient.login)));
    await look('queue');
    await press(`Decide about the request of ${people.patient.login}`);
    await type('Reason', 'The patient asked for it.', { within: '[role="dialog"] ' });
    await page.locator('[role="dialog"] label ::-p-text(Erase)').click();
    await look('decide');
    await press('Decide', '[role="dialog"] ');
    await eventually('an empty queue', async () => /There is none/.test(await textOf('main')));
    await clickTab('Emergency access');
    await see('.requests', /Unconscious/);
    await look('reviews');
    await type('Note', 'The ward confirms it.', { within: '.requests ' });
    await press('Decide', '.requests ');
    // Who has been decided about is in the queue no more.
    await eventually('no emergency access to review', async () => /There is none/.test(await textOf('main')));
    await choose('Status', 'REVIEWED');
    await see('.requests', /The ward confirms it/);
    return 'approved, and the emergency access reviewed';
  });

  await step('administrator holds data', async () => {
    await clickTab('Legal holds');
    await see('main', /Nothing is held/);
    await press('Place a hold …');
    // Nothing that the patient has asked to be erased.
    await type('Whose data', people.doctor.login, { within: '[role="dialog"] ' });
    await press(`Choose ${people.doctor.login}`, '[role="dialog"] ');
    await type('Reason', 'A court has asked for it.', { within: '[role="dialog"] ' });
    await look('place-hold');
    await press('Place it', '[role="dialog"] ');
    await see('.holds', /in force/);
    await press('Release it …');
    await press('Release it …', '[role="alertdialog"] ');
    await see('[data-state="proposed"]', /another administrator has to/);
    await look('holds');
    return 'and cannot release it alone';
  });

  await step('administrator looks for findings', async () => {
    await open('Integrity');
    await see('main', /No finding is open/);
    return 'and there is none';
  });

  // Whoever started this walk changes the hash of the laboratory result now, and puts it back once that was seen.
  await step('administrator sees a finding', async () => {
    await see('main .tag.bad', /The hash was changed/);
    await look('finding');
    return 'as it is opened';
  });

  await step('administrator sees it resolved', async () => {
    await see('main', /No finding is open/);
    return 'as it is put right';
  });

  await step('administrator proposes a representative', async () => {
    await open('Accounts');
    await press('Propose somebody …');
    await type('Patient', people.patient.login, { within: '[role="dialog"] ' });
    await press(`Choose ${people.patient.login}`, '[role="dialog"] ');
    await type('Who is to act', people.doctor.login, { within: '[role="dialog"] ' });
    await press(`Choose ${people.doctor.login}`, '[role="dialog"] ');
    await type('Reason', 'Named by a court as the guardian.', { within: '[role="dialog"] ' });
    await look('propose-representative');
    await press('Propose it', '[role="dialog"] ');
    await see('.proposed', /Named by a court/);
    await look('proposed');
    await press('Reject');
    await press('Reject', '[role="alertdialog"] ');
    await eventually('no proposal', async () => !/Named by a court/.test(await textOf('main')));
    await logOut();
    return 'and takes it back';
  });

  await step('doctor belongs to an organisation', async () => {
    await logIn(people.doctor);
    await open('Organisations');
    await see('.memberships', /Klinik/);
    await look('memberships');
    const told = await textOf('.memberships strong');
    await logOut();
    return told;
  });

  await step('it is erased', async () => {
    await logIn(people.patient);
    await open('My data');
    await see('[data-status="COMPLETED"]', /carried out/);
    await see('[data-status="COMPLETED"]', /Save the certificate/);
    await look('erased');
    await open('My records');
    await see('.timeline', /Metformin/);
    if (/Vital signs/.test(await textOf('.timeline'))) throw new Failure('the vital signs are still there');
    return 'and there is a certificate';
  });

  await step('wallet', async () => {
    const address = await giveWallet();
    await page.reload({ waitUntil: 'load' });
    await open('Account');
    await press('Link a wallet');
    await type('Password', people.patient.password, { within: '[role="dialog"] ' });
    await press('Link a wallet', '[role="dialog"] ');
    await see('main .plain code', new RegExp(address, 'i'));
    await look('wallet');
    await logOut();
    await press('Log in with a wallet');
    await see('h1', /My records/);
    return 'linked, and logged in with';
  });

  await step('second factor', async () => {
    await open('Account');
    await see('main', /Set it up/);
    await page.waitForSelector('::-p-aria([name="Set it up"][role="button"])');
    const fields = await page.$$('form input[type="password"]');
    await fields.at(-1).type(people.patient.password);
    await press('Set it up');
    await see('[data-testid="secret"]', /[A-Z2-7]{16}/);
    await page.waitForSelector('svg.qr path');
    await look('second-factor-code');
    await type('The six digits that it shows', totp(await textOf('[data-testid="secret"]')));
    await press('Turn it on');
    await see('.codes', /\S/);
    const [recovery] = (await textOf('.codes')).split('\n');
    await look('second-factor');
    await logOut();
    await logIn(people.patient);
    await see('[data-code="SECOND_FACTOR_REQUIRED"]', /six digits/);
    await type('Code of the second factor', recovery.trim());
    await press('Log in');
    await see('h1', /My records/);
    await logOut();
    return 'asked for at the next log-in';
  });

  await step('somebody leaves', async () => {
    const [username, password] = [`leaves.${Date.now().toString(36)}`, 'a password of somebody who leaves'];
    await press('Make an account');
    await see('h1', /Make an account/);
    await type('User name', username);
    await type('E-mail address', `${username}@example.org`);
    await type('Password', password);
    await press('Make an account', 'form ');
    await see('h1', /My records/);
    await open('Account');
    await press('Deactivate the account …');
    await type('Password', password, { within: '[role="alertdialog"] ' });
    await look('leave');
    await press('Deactivate it', '[role="alertdialog"] ');
    await see('.notice', /The account is deactivated/);
    await logIn({ login: username, password });
    await see('[data-code]', /\S/);
    return 'and cannot log in any more';
  });

  await step('says nothing of a record in the history', async () => {
    const titles = new Set(visited);
    const told = [...titles].filter((title) => /Metformin|Heart|Hemoglobin/.test(title));
    if (told.length > 0) throw new Failure(`titles of windows: ${told}`);
    return [...titles].join(', ');
  });
}

/** Does what has the browser save a file, and answers where it is. */
async function download(action, ending) {
  const downloads = join(profile, 'downloads');
  const session = await browser.target().createCDPSession();
  await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: downloads, eventsEnabled: true });
  const done = new Promise((resolve) => session.on('Browser.downloadProgress', ({ state }) => state === 'completed' && resolve()));
  await action();
  await done;
  await session.detach();
  const [name] = (await readdir(downloads)).filter((each) => each.endsWith(ending));
  return join(downloads, name);
}

/** Somebody who reads and writes elsewhere than in this browser. What they write is a heart rate. */
async function elsewhere({ login, password }) {
  let token;
  const ask = async (query, variables, document) => {
    const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json', ...(token ? { authorization: `Bearer ${token}` } : {}) };
    // A document is sent as it is written: JSON would be read, and written with other digits.
    const body = JSON.stringify({ query, variables }).replace('"the document"', () => document);
    const answer = await fetch(`${api}/graphql`, { method: 'POST', headers, body });
    const { data, errors } = await answer.json();
    if (errors) throw new Failure(`${query}: ${errors[0].message}`);
    return data;
  };
  const read = async (id) => (await ask('query Read($id: UUID!) { medicalRecord(id: $id) { version } }', { id })).medicalRecord;
  const rate = (value, status) => `{"resourceType":"Observation","status":"${status}","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}],"text":"Heart rate"},"effectiveDateTime":"${new Date().toISOString()}","valueQuantity":{"value":${value},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}`;
  token = (await ask('mutation LogIn($input: LogInInput!) { logIn(input: $input) { accessToken } }', { input: { login, password } })).logIn.accessToken;
  return {
    async list(patientId) {
      const { medicalRecords } = await ask('query List($id: UUID) { medicalRecords(patientId: $id, first: 3) { nodes { id summary { title } } } }', { id: patientId });
      return medicalRecords.nodes;
    },
    async amend(id, value) {
      const { version } = await read(id);
      const input = { id, expectedVersion: version, reason: 'Measured once more.', document: 'the document' };
      const { amendMedicalRecord } = await ask('mutation Amend($input: AmendMedicalRecordInput!) { amendMedicalRecord(input: $input) { record { id } } }', { input }, rate(value, 'amended'));
      return amendMedicalRecord.record.id;
    },
    async withdraw(id) {
      const { version } = await read(id);
      const input = { id, expectedVersion: version, reason: 'It was somebody else.' };
      await ask('mutation Withdraw($input: WithdrawMedicalRecordInput!) { withdrawMedicalRecord(input: $input) { record { id } } }', { input });
    },
    async write(patientId, value) {
      const input = { patientId, recordType: 'VITAL_SIGNS', document: 'the document' };
      await ask('mutation Write($input: CreateMedicalRecordInput!) { createMedicalRecord(input: $input) { record { id } } }', { input }, rate(value, 'final'));
    },
  };
}

/** Reads a list of the patient's records as somebody else, elsewhere than in this browser. */
async function readElsewhere(person, patientId) {
  const records = await (await elsewhere(person)).list(patientId);
  if (records.length === 0) throw new Failure('the list is empty');
}

/** A wallet as browsers have them (EIP-1193), whose key is here; from the next load of the page on. Answers its address. */
async function giveWallet() {
  const { generatePrivateKey, privateKeyToAccount } = createRequire(join(portal, 'package.json'))('viem/accounts');
  const account = privateKeyToAccount(generatePrivateKey());
  await page.exposeFunction('askWallet', async ({ method, params }) => {
    if (method === 'eth_requestAccounts') return [account.address];
    if (method === 'personal_sign') return account.signMessage({ message: { raw: params[0] } });
    throw new Failure(`the wallet is asked for ${method}`);
  });
  await page.evaluateOnNewDocument(() => {
    window.ethereum = { request: (asked) => window.askWallet(asked) };
  });
  return account.address;
}

/** The code of an authenticator app for a secret in Base32 (RFC 6238), now. */
function totp(secret) {
  const bits = [...secret.replace(/=|\s/g, '')].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = digest[19] & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

async function logIn({ login, password }) {
  await see('h1', /Log in/);
  await type('User name or e-mail address', login);
  await type('Password', password);
  await press('Log in');
}

async function logOut() {
  await press('Log out');
  await see('h1', /Log in/);
  await isLoggedOut();
}

/** Waits until the api was told, and has taken the cookie away. */
async function isLoggedOut() {
  await eventually('the log-in to be ended', () => page.evaluate(() => localStorage.getItem('meditrustal:portal:log-in') === null));
  if (await refreshCookie()) throw new Failure('the refresh cookie is still there');
}

async function refreshCookie() {
  const session = await page.createCDPSession();
  const { cookies } = await session.send('Network.getCookies', { urls: [`${origin}/graphql`] });
  await session.detach();
  return cookies.find(({ name }) => name === '__Host-meditrustal_refresh');
}

/** Looks for a refresh token, by its name and its text, in all that scripts of the page can read of what is kept. */
async function keepsNoToken(...tokens) {
  const kept = await page.evaluate(async () => {
    const settled = (request) => new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const texts = [document.cookie, JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage })];
    for (const { name } of await indexedDB.databases()) {
      const database = await settled(indexedDB.open(name));
      for (const store of database.objectStoreNames) {
        const rows = database.transaction(store).objectStore(store);
        for (const row of await settled(rows.getAll())) {
          texts.push(JSON.stringify(row, (_, value) => (value instanceof ArrayBuffer ? String.fromCharCode(...new Uint8Array(value)) : value)));
        }
      }
      database.close();
    }
    return texts;
  });
  if (kept[0] !== '') throw new Failure(`scripts read a cookie: ${kept[0].slice(0, 40)}`);
  if (!kept[2].includes('person')) throw new Failure('the tab keeps nothing: there was nothing to look at');
  for (const text of kept) {
    if (/refresh_?token/i.test(text) || tokens.some((token) => text.includes(token))) throw new Failure('a refresh token is kept where scripts read it');
  }
}

/** One more tab of the same browser, in which nothing may go wrong either. */
async function anotherTab() {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(Number(options.timeout) * 1000);
  await tab.setExtraHTTPHeaders({ 'Accept-Language': 'en-GB' });
  await watch(tab);
  return tab;
}

/** Waits for a text in a tab that need not be in front, which draws no frames. */
async function shows(tab, selector, pattern) {
  await tab.waitForFunction(
    (css, source) => new RegExp(source).test([...document.querySelectorAll(css)].map((each) => each.innerText).join('\n')),
    { polling: 100 },
    selector,
    pattern.source,
  ).catch(() => {
    throw new Failure(`waited ${options.timeout} s for ${pattern} in ${selector} of another tab`);
  });
}

async function verify(path, { second }) {
  await page.reload({ waitUntil: 'load' });
  const input = await page.waitForSelector('input[type="file"]');
  await input.uploadFile(path);
  await type('Address of a node (JSON-RPC)', options.node);
  if (second) await type('Address of a second node', options.node);
  await type('Address of the registry', options.registry);
  await press('Verify');
}

async function go(hash) {
  await page.evaluate((next) => (location.hash = next), hash);
}

/** Goes by Tab, or back by Shift and Tab, to what is called so, and sees that the focus shows there. */
async function tabTo(name, { isBefore = false } = {}) {
  for (let presses = 0; presses < 100; presses += 1) {
    if (isBefore) await page.keyboard.down('Shift');
    await page.keyboard.press('Tab');
    if (isBefore) await page.keyboard.up('Shift');
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const called = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent;
      return { called: called.trim(), outline: getComputedStyle(element).outlineStyle };
    });
    if (at.called !== name) continue;
    if (at.outline === 'none') throw new Failure(`nobody sees that "${name}" has the focus`);
    return;
  }
  throw new Failure(`Tab does not lead to "${name}"`);
}

/** Goes to a link or a button by Tab, and presses Enter. */
async function follow(name, way) {
  await tabTo(name, way);
  await page.keyboard.press('Enter');
}

/** Goes through a dialog by Tab, more often than there is to go to. */
async function staysInDialog() {
  for (let presses = 0; presses < 6; presses += 1) {
    await page.keyboard.press('Tab');
    const isInside = await page.evaluate(() => document.activeElement.closest('[role="dialog"], [role="alertdialog"]') !== null);
    if (!isInside) throw new Failure('the focus leaves the dialog');
  }
}

/** Opens a page by the menu, which a narrow window folds away. */
async function open(name) {
  const link = await page.waitForFunction((start) => [...document.querySelectorAll('nav a')].find((each) => each.textContent.startsWith(start)), {}, name).catch(() => {
    throw new Failure(`there is no "${name}" in the menu`);
  });
  await link.asElement().click();
}

async function press(name, within = '') {
  await page.locator(`${within}::-p-aria([name="${name}"][role="button"])`).click().catch(() => {
    throw new Failure(`waited ${options.timeout} s for a button "${name}"`);
  });
}

/** Turns off that pages renew themselves, or on again. */
async function renewing() {
  await page.locator('nav label ::-p-text(Renew pages), nav label::-p-text(Renew pages)').click();
}

/** Opens what is folded. */
async function unfold(name) {
  await page.locator(`main summary ::-p-text(${name}), main summary::-p-text(${name})`).click();
}

/** By which operations single records are asked for meanwhile, each named once. Who follows a record asks for nothing of it. */
async function askedOfRecords(action) {
  const names = new Set();
  const note = (request) => {
    const [, name] = /"operationName":"(\w*(?:Record|History)\w*)"/.exec(request.postData() ?? '') ?? [];
    if (name && !['Records', 'RecordFeed'].includes(name)) names.add(name);
  };
  page.on('request', note);
  await action();
  page.off('request', note);
  return [...names].sort().join(', ');
}

async function clickTab(name) {
  await page.locator(`::-p-aria([name="${name}"][role="tab"])`).click();
}

async function clickLink(name, isPart = false) {
  if (isPart) await page.locator(`main a ::-p-text(${name}), main a::-p-text(${name})`).click();
  else await page.locator(`main ::-p-aria([name="${name}"][role="link"])`).click();
}

/** Types into the field whose label begins so; what may be left out says so behind its label. */
async function type(label, text, { within = '', clear = false } = {}) {
  const handle = await page.waitForFunction(
    (start, css) =>
      [...document.querySelectorAll(`${css}label`)]
        .filter((each) => each.textContent === start || each.textContent.startsWith(`${start} (`))
        .map((each) => each.control ?? document.getElementById(each.htmlFor))
        .find((control) => control && control.tagName !== 'SELECT'),
    {},
    label,
    within,
  ).catch(() => {
    throw new Failure(`waited ${options.timeout} s for a field "${label}"`);
  });
  const field = handle.asElement();
  if (clear) {
    await field.focus();
    await page.keyboard.down('Control');
    await page.keyboard.press('a');
    await page.keyboard.up('Control');
  }
  await field.type(text);
}

async function choose(label, value) {
  const handle = await page.waitForFunction((text) => [...document.querySelectorAll('label')].find((each) => each.textContent === text)?.control, {}, label);
  await handle.asElement().select(value);
}

/** Has axe-core look at the page as it is, wide and light, then narrow and dark; and keeps pictures of both, where they are wanted. */
async function look(name) {
  await page.waitForFunction(() => !document.querySelector('.waiting')).catch(() => {});
  for (const [kind, viewport, scheme] of [['light', WIDE, 'light'], ['dark', NARROW, 'dark']]) {
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    // A page that was not loaded again has it still: it is half a megabyte to read.
    if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(`${axe};0`);
    const found = await page.evaluate(() => {
      // An open dialog hides the page behind it, and its landmarks and headings: that is right, and not always seen by axe-core.
      const isOpen = document.querySelector('[role="dialog"], [role="alertdialog"]') !== null;
      const rules = isOpen ? { 'landmark-one-main': { enabled: false }, 'page-has-heading-one': { enabled: false } } : {};
      const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
      return globalThis.axe.run(document, { runOnly, rules, resultTypes: ['violations'] }).then(({ violations }) =>
        violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ target, failureSummary }) => `${target} ${failureSummary.split('\n')[1]}`).join('; ')}`),
      );
    });
    if (found.length) throw new Failure(`${name} (${kind}): axe-core found ${found.join('\n    ')}`);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) throw new Failure(`${name} (${kind}): the page is ${over} pixels wider than the window`);
    looked += 1;
    visited.push(await page.title());
    if (options.pictures) await shot(`${name}-${kind}`);
  }
  await page.setViewport(WIDE);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }]);
}

async function shot(name) {
  if (!options.screenshots || !page) return;
  await mkdir(options.screenshots, { recursive: true });
  await page.screenshot({ path: join(options.screenshots, `${name}.png`), fullPage: true, optimizeForSpeed: true });
}

async function see(selector, pattern) {
  await page.waitForFunction(
    (css, source, flags) => new RegExp(source, flags).test([...document.querySelectorAll(css)].map((each) => each.innerText).join('\n')),
    {},
    selector,
    pattern.source,
    pattern.flags,
  ).catch(async () => {
    throw new Failure(`waited ${options.timeout} s for ${pattern} in ${selector}; there is: ${(await textOf(selector)).slice(0, 300) || 'nothing'}`);
  });
}

/** Tries again until it is so: for what nothing tells of. */
async function eventually(what, attempt) {
  const until = performance.now() + Number(options.timeout) * 1000;
  while (!(await attempt())) {
    if (performance.now() > until) throw new Failure(`waited ${options.timeout} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function textOf(selector) {
  return page.$eval(selector, (element) => element.innerText.trim()).catch(() => '');
}

async function begin() {
  ({ browser, page, profile } = await start({
    timeoutMillis: Number(options.timeout) * 1000,
    viewport: WIDE,
    flags: ['--lang=en-GB'],
    environment: { TZ: 'Asia/Jakarta', LANG: 'en_US.UTF-8', LC_ALL: 'en_US.UTF-8' },
  }));
  await page.setExtraHTTPHeaders({ 'Accept-Language': 'en-GB' });
  await page.setBypassCSP(false);
  await watch();
  console.log(`browser: ${await browser.version()}`);
}

/** Collects whatever must not happen. */
async function watch(tab = page) {
  await watchErrors(tab, (text) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.push(text);
  });
  tab.on('request', (request) => {
    if (/refreshToken/.test(request.postData() ?? '')) complaints.push('a script asks for the refresh token, or sends one');
    const url = new URL(request.url());
    const isNode = url.origin === node && tab.url().endsWith('/verify.html');
    if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.origin !== origin && !isNode) complaints.push(`request to another origin: ${url.href.slice(0, 200)}`);
  });
}

// Keeps the files that the portal is made of, so that it opens without a connection. It keeps no answer of the api:
// what a person has read is kept by the page, sealed, until they log out (src/api/answers.ts).
const CACHE = 'meditrustal-portal-__VERSION__';
const FILES = __FILES__.map((file) => new URL(file, self.registration.scope).href);

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith('meditrustal-portal-') && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = request.url.split(/[?#]/)[0];
  if (request.method !== 'GET' || !FILES.includes(url)) return;
  const kept = () => caches.open(CACHE).then((cache) => cache.match(url));
  // The page itself is asked for anew, as long as somebody answers; its parts are named by their content.
  if (request.mode === 'navigate') event.respondWith(fetch(request).catch(async () => (await kept()) ?? Response.error()));
  else event.respondWith(kept().then((found) => found ?? fetch(request)));
});

import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The api that `npm run dev` passes requests on to. */
const api = process.env['PORTAL_API'] ?? 'http://127.0.0.1:8000';

export default defineConfig({
  base: './', // any folder of any static host
  plugins: [react()],
  build: {
    target: 'es2022',
    manifest: 'vite-manifest.json',
    assetsInlineLimit: 0, // the content security policy permits no data: scripts
    modulePreload: { polyfill: false }, // it would be an inline script
    rollupOptions: { input: { index: here('index.html'), verify: here('verify.html') } },
  },
  server: {
    // The api gives its refresh cookie to pages of its own origin.
    proxy: Object.fromEntries(['/graphql', '/health', '/my-data', '/export'].map((path) => [path, { target: api, changeOrigin: true, headers: { origin: new URL(api).origin } }])),
  },
});

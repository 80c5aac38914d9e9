// Compiles a source of the portal for a test, with what it imports.
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'vite';

export const portal = join(dirname(fileURLToPath(import.meta.url)), '..');

export async function load(source) {
  const folder = await mkdtemp(join(portal, 'node_modules/.test-'));
  try {
    await build({
      configFile: false,
      logLevel: 'warn',
      build: {
        outDir: folder,
        lib: { entry: join(portal, source), formats: ['es'], fileName: () => 'module.mjs' },
        minify: false,
        // One file: what is loaded later would be gone by then.
        rollupOptions: { output: { codeSplitting: false } },
      },
    });
    return await import(pathToFileURL(join(folder, 'module.mjs')).href);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

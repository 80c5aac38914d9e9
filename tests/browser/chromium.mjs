// Unpacks the Chromium that npm brings and says how to start it.
//
// The package's own `executablePath()` writes to fixed names in the temporary directory: two
// users, or two tests at once, meet half a browser there. Hence this: unpack aside, then rename.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, chmod, constants, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';

const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const target = join(process.env.CARGO_TARGET_DIR ?? join(repository, 'target'), 'browser');

/**
 * `{ executablePath, env }` for puppeteer.
 *
 * MEDITRUSTAL_BROWSER names another Chromium or Chrome, needed where the package has none
 * (anything but Linux on x86-64).
 */
export async function chromium() {
  const own = process.env.MEDITRUSTAL_BROWSER;
  if (own) return { executablePath: own, env: process.env };
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`npm brings no Chromium for ${process.platform} on ${process.arch}: set MEDITRUSTAL_BROWSER to one`);
  }
  const home = await unpacked();
  return {
    executablePath: join(home, 'chromium'),
    env: {
      ...process.env,
      // The package brings NSS, NSPR and Expat, which a bare system lacks.
      LD_LIBRARY_PATH: [join(home, 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'),
      FONTCONFIG_PATH: home,
    },
  };
}

async function unpacked() {
  const packaged = dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium'));
  const root = join(packaged, '..', '..');
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const name = `chromium-${version}`;
  const shared = join(target, name);
  if (existsSync(join(shared, 'chromium'))) return shared;
  const parent = await writableDirectory();
  const home = join(parent, name);
  if (existsSync(home)) return home;

  const draft = await mkdtemp(join(parent, '.unpacking-'));
  try {
    const read = async (name) => promisify(brotliDecompress)(await readFile(join(root, 'bin', name)));
    for (const archive of ['al2023.tar.br', 'fonts.tar.br', 'swiftshader.tar.br']) {
      execFileSync('tar', ['-x', '--no-same-owner', '-f', '-', '-C', draft], { input: await read(archive) });
    }
    await writeFile(join(draft, 'fonts.conf'), fontsConf(home));
    await writeFile(join(draft, 'chromium'), await read('chromium.br'), { mode: 0o755 });
    await chmod(draft, 0o755);
    await rename(draft, home);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(home)) throw error; // else another test was faster
  }
  return home;
}

/** target/browser, or this user's own directory among the temporary ones if target is not ours to write. */
async function writableDirectory() {
  try {
    await mkdir(target, { recursive: true });
    await access(target, constants.W_OK);
    return target;
  } catch {
    const own = join(tmpdir(), `meditrustal-browser-${process.getuid()}`);
    await mkdir(own, { recursive: true, mode: 0o700 });
    if ((await stat(own)).uid !== process.getuid()) throw new Error(`${own} belongs to another user`);
    return own;
  }
}

const fontsConf = (home) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${home}/fonts</dir>
  <cachedir>${home}/fonts-cache</cachedir>
</fontconfig>
`;

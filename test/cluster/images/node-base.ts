import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../cache.ts';
import { run } from '../progress.ts';
import { type LayerEntry, writeImage, writeLayer } from './archive.ts';

/** Node as the npm package `node` brings it. */
const NODE = fileURLToPath(new URL('../../../node_modules/node/bin/node', import.meta.url));
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const RECIPE = 'node, its libraries, certificates';

/** A base image for the operator that can be made without a registry. */
export interface LocalBase {
  readonly ref: string;
  /** Makes it, or takes it from the cache: the path of a docker-archive. */
  build(): Promise<string>;
}

/**
 * Node with the libraries it loads and the certificate authorities, taken from this machine: what is left of
 * `node:24-bookworm-slim` when everything the operator does not use is left out. There is no shell in it.
 */
export async function localNodeBase(): Promise<LocalBase> {
  const files = await neededFiles();
  const hash = await hashOf(...files.map((path) => ({ path })), RECIPE);
  const ref = `bulkhead.local/node:${hash.slice(0, 12)}`;
  const build = async () => {
    const dir = await cached('image-node', hash, (tmpDir) => writeBase(tmpDir, ref, files));
    return join(dir, 'image.tar');
  };
  return { ref, build };
}

/** Absolute paths: Node, its loader and libraries, and the plug-ins that glibc loads to look up names. */
async function neededFiles(): Promise<string[]> {
  const libraries = (await run('ldd', [NODE])).match(/\/\S+/g) ?? [];
  const beside = libraries.filter((path) => /\/libc\.so/.test(path)).map(dirname);
  const lookUps = beside.flatMap((dir) =>
    ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'].map((f) => join(dir, f)),
  );
  const optional = [...lookUps, CERTIFICATES].filter((path) => existsSync(path));
  return [NODE, ...libraries, ...optional];
}

async function writeBase(dir: string, ref: string, files: readonly string[]): Promise<void> {
  const entries = new Map<string, LayerEntry>();
  const addFolder = (path: string) => {
    if (path === '.' || path === '/' || path === '') return;
    addFolder(dirname(path));
    entries.set(path, { name: path, folder: true });
  };
  for (const file of files) {
    const name = file === NODE ? 'usr/local/bin/node' : file.slice(1);
    addFolder(dirname(name));
    entries.set(name, { name, path: await realpath(file), mode: file === CERTIFICATES ? 0o644 : 0o755 });
  }
  entries.set('tmp', { name: 'tmp', folder: true, mode: 0o1777 });
  const texts = {
    'etc/passwd': 'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
  };
  for (const [name, text] of Object.entries(texts)) entries.set(name, { name, text });
  const layer = join(dir, 'layer.tar');
  await writeLayer([...entries.values()], layer);
  const config = { Env: ['PATH=/usr/local/bin', `SSL_CERT_FILE=${CERTIFICATES}`], Cmd: ['node'] };
  await writeImage({ layers: [layer], config, tags: [ref], out: join(dir, 'image.tar') });
}

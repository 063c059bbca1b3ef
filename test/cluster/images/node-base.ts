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
  /** The same, as the one layer that it has: for an image that is made without Docker. */
  layer(): Promise<string>;
}

/**
 * Node with the libraries it loads and the certificate authorities, taken from this machine: what is left of
 * `node:24-bookworm-slim` when everything the operator does not use is left out. There is no shell in it.
 */
export async function localNodeBase(): Promise<LocalBase> {
  const files = await neededFiles();
  const hash = await hashOf(...files.map((path) => ({ path })), RECIPE);
  const ref = `bulkhead.local/node:${hash.slice(0, 12)}`;
  const made = () => cached('image-node', hash, (tmpDir) => writeBase(tmpDir, ref, files));
  return {
    ref,
    build: async () => join(await made(), 'image.tar'),
    layer: async () => join(await made(), 'layer.tar'),
  };
}

/** Absolute paths: Node, its loader and libraries, and the plug-ins that glibc loads to look up names. */
async function neededFiles(): Promise<string[]> {
  const libraries = await librariesOf([NODE]);
  const beside = libraries.filter((path) => /\/libc\.so/.test(path)).map(dirname);
  const lookUps = beside.flatMap((dir) =>
    ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'].map((f) => join(dir, f)),
  );
  const optional = [...lookUps, CERTIFICATES].filter((path) => existsSync(path));
  return [NODE, ...libraries, ...optional];
}

/** What the loader loads for these programs, the loader included. */
export async function librariesOf(programs: readonly string[]): Promise<string[]> {
  const lines = await Promise.all(programs.map((program) => run('ldd', [program])));
  return [...new Set(lines.flatMap((text) => text.match(/(?<=\s)\/\S+(?= \()/g) ?? []))];
}

/** The folders that these entries lie in, each before what is in it. */
export function foldersOf(entries: readonly LayerEntry[]): LayerEntry[] {
  const names = new Set<string>();
  const add = (path: string): void => {
    if (path === '.' || path === '/' || path === '' || names.has(path)) return;
    add(dirname(path));
    names.add(path);
  };
  for (const { name } of entries) add(dirname(name));
  return [...names].map((name) => ({ name, folder: true }));
}

async function writeBase(dir: string, ref: string, files: readonly string[]): Promise<void> {
  const entries: LayerEntry[] = [{ name: 'tmp', folder: true, mode: 0o1777 }];
  for (const file of files) {
    const name = file === NODE ? 'usr/local/bin/node' : file.slice(1);
    entries.push({ name, path: await realpath(file), mode: file === CERTIFICATES ? 0o644 : 0o755 });
  }
  const texts = {
    'etc/passwd': 'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
  };
  for (const [name, text] of Object.entries(texts)) entries.push({ name, text });
  const layer = join(dir, 'layer.tar');
  await writeLayer([...foldersOf(entries), ...entries], layer);
  const config = { Env: ['PATH=/usr/local/bin', `SSL_CERT_FILE=${CERTIFICATES}`], Cmd: ['node'] };
  await writeImage({ layers: [layer], config, tags: [ref], out: join(dir, 'image.tar') });
}

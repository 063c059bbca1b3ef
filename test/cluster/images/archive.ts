import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { type Header, type Pack, pack } from 'tar-stream';

/** Images are the same bytes whenever they are made, so that nothing is loaded twice. */
const EPOCH = new Date('2026-01-01T00:00:00Z');
const ZSTD_LEVEL = 3;

/** What goes into a layer: a folder, a symbolic link, or a file with its text or the path of its contents. */
export type LayerEntry = { name: string; mode?: number } & (
  | { folder: true }
  | { link: string }
  | { text: string }
  | { path: string }
);

/** The part of an OCI image's configuration that says how it runs. */
export interface ImageConfig {
  Entrypoint?: string[];
  Cmd?: string[];
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  ExposedPorts?: Record<string, object>;
  StopSignal?: string;
  Labels?: Record<string, string>;
}

/** Writes an uncompressed layer tar. Parent folders come first in `entries`; everything belongs to root. */
export async function writeLayer(entries: readonly LayerEntry[], out: string): Promise<void> {
  await writeTar(out, async (tar) => {
    for (const entry of entries) await addEntry(tar, entry);
  });
}

async function addEntry(tar: Pack, entry: LayerEntry): Promise<void> {
  const { name } = entry;
  if ('folder' in entry) await addText(tar, { name, type: 'directory', mode: entry.mode ?? 0o755 });
  else if ('link' in entry) await addText(tar, { name, type: 'symlink', linkname: entry.link, mode: 0o777 });
  else if ('text' in entry) await addText(tar, { name, mode: entry.mode ?? 0o644 }, entry.text);
  else await addFile(tar, { name, mode: entry.mode ?? 0o644 }, entry.path);
}

/** An image made of layer tars, lowest first, as a docker-archive at `out`: see {@link writeImages}. */
export async function writeImage(image: {
  layers: readonly string[];
  config: ImageConfig;
  tags: readonly string[];
  out: string;
}): Promise<void> {
  await writeImages({ layers: image.layers, images: [{ config: image.config, tags: image.tags }], out: image.out });
}

/**
 * Several images that share all their layers, as one docker-archive, which `docker load`, `kind load image-archive` and
 * `ctr images import` take. It is compressed if `out` ends in `.zst`; those commands then need it uncompressed.
 */
export async function writeImages(archive: {
  layers: readonly string[];
  images: readonly { config: ImageConfig; tags: readonly string[] }[];
  out: string;
}): Promise<void> {
  const digests: string[] = [];
  for (const layer of archive.layers) digests.push(await sha256(layer));
  await writeTar(archive.out, async (tar) => {
    for (const [i, layer] of archive.layers.entries()) await addFile(tar, { name: `${digests[i]}/layer.tar` }, layer);
    const manifest = [];
    for (const { config, tags } of archive.images) {
      const text = JSON.stringify(imageJson(config, digests));
      const name = `${createHash('sha256').update(text).digest('hex')}.json`;
      await addText(tar, { name }, text);
      manifest.push({ Config: name, RepoTags: tags, Layers: digests.map((digest) => `${digest}/layer.tar`) });
    }
    await addText(tar, { name: 'manifest.json' }, JSON.stringify(manifest));
  });
}

function imageJson(config: ImageConfig, digests: readonly string[]): object {
  return {
    architecture: imageArchitecture(),
    os: 'linux',
    created: EPOCH.toISOString(),
    config,
    rootfs: { type: 'layers', diff_ids: digests.map((digest) => `sha256:${digest}`) },
    history: digests.map(() => ({ created: EPOCH.toISOString() })),
  };
}

/** This machine's processor as images call it. */
export function imageArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/** Writes beside `out` first and renames, so that `out` is whole or absent. */
async function writeTar(out: string, fill: (tar: Pack) => Promise<void>): Promise<void> {
  const tar = pack();
  const unfinished = `${out}.unfinished`;
  const file = createWriteStream(unfinished);
  const compress = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
  const written = out.endsWith('.zst') ? pipeline(tar, compress, file) : pipeline(tar, file);
  const filled = fill(tar).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  await Promise.all([written, filled]);
  await rename(unfinished, out);
}

function addText(tar: Pack, header: Partial<Header> & { name: string }, text = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ mtime: EPOCH, ...header }, text, (error) => (error ? reject(error) : resolve()));
  });
}

async function addFile(tar: Pack, header: Partial<Header> & { name: string }, path: string): Promise<void> {
  const { size } = await stat(path);
  await new Promise<void>((resolve, reject) => {
    const entry = tar.entry({ mtime: EPOCH, mode: 0o644, ...header, size }, (error) =>
      error ? reject(error) : resolve(),
    );
    pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), entry).catch(reject);
  });
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import { execa } from 'execa';
import { cacheDir } from '../cache.ts';
import { note, step } from '../progress.ts';
import type { Docker } from './docker.ts';
import { buildNodeImage, NODE_ARCHIVE, offlineNodeImageHash } from './node-image-build.ts';
import { imageIsThere, pullImage, removeOtherImages } from './registry.ts';

/** The default of the kind release in tools/go.mod, see pkg/apis/config/defaults/image.go there. */
const DEFAULT_IMAGE = 'kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5';
const REPOSITORY = 'kindest/node';
const OFFLINE = `${REPOSITORY}:bulkhead-`;

/** One that was built without a registry: its pod network enforces no NetworkPolicy by itself. */
export const isOfflineNodeImage = (image: string): boolean => image.startsWith(OFFLINE);

/**
 * The node image to use, in the daemon's store when this returns: kind's usual one where a registry answers, else one
 * built on this machine. What is there already is taken without asking anyone.
 */
export async function nodeImage(it: Docker): Promise<string> {
  const hash = await offlineNodeImageHash();
  const offline = `${OFFLINE}${hash}`;
  for (const image of [offline, DEFAULT_IMAGE]) if (await imageIsThere(it, image)) return image;
  if (!existsSync(join(cacheDir(), 'kind-node-image', hash, NODE_ARCHIVE))) {
    if (await pullImage(it, DEFAULT_IMAGE)) return DEFAULT_IMAGE;
    note('No container registry answers, so the node image is built here.');
  }
  const archive = await buildNodeImage(hash, offline);
  await step('Loading the node image into Docker', () => load(it, archive), { typical: '15 s' });
  if (it.isPrivate) await removeOtherImages(it, REPOSITORY, offline);
  return offline;
}

async function load(it: Docker, archive: string): Promise<void> {
  const child = execa('docker', ['load', '--quiet'], { env: it.env, all: true, reject: false });
  const input = [createReadStream(archive, { highWaterMark: 1 << 20 }), createZstdDecompress()] as const;
  // When docker has read enough, or fails, it closes its end; which of the two it was, it says itself.
  const fed = await pipeline(...input, child.stdin).catch((error: unknown) => error);
  const result = await child;
  if (result.failed) throw new Error(`The node image could not be loaded. ${result.all || fed}`, { cause: fed });
}

import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createZstdDecompress } from 'node:zlib';
import { execa } from 'execa';
import { cacheDir } from '../cache.ts';
import { CommandError, note, step } from '../progress.ts';
import { type Docker, docker } from './docker.ts';
import { buildNodeImage, NODE_ARCHIVE, offlineNodeImageHash } from './node-image-build.ts';

/** The default of the kind release in tools/go.mod, see pkg/apis/config/defaults/image.go there. */
const DEFAULT_IMAGE = 'kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5';
const REPOSITORY = 'kindest/node';
/** A registry that answers begins to send within this time. */
const REGISTRY_TIMEOUT_MS = 20_000;

/**
 * The node image to use, in the daemon's store when this returns: kind's usual one where a registry answers, else one
 * built on this machine. What is there already is taken without asking anyone.
 */
export async function nodeImage(it: Docker): Promise<string> {
  const hash = await offlineNodeImageHash();
  const offline = `${REPOSITORY}:bulkhead-${hash}`;
  for (const image of [offline, DEFAULT_IMAGE]) if (await isThere(it, image)) return image;
  const built = existsSync(join(cacheDir(), 'kind-node-image', hash, NODE_ARCHIVE));
  if (!built && (await pull(it, DEFAULT_IMAGE))) return DEFAULT_IMAGE;
  const archive = await buildNodeImage(hash, offline);
  await step('Loading the node image into Docker', () => load(it, archive), { typical: '15 s' });
  if (it.isPrivate) await removeOldImages(it, offline);
  return offline;
}

async function isThere(it: Docker, image: string): Promise<boolean> {
  try {
    await docker(it, ['image', 'inspect', '--format', '{{.Id}}', image]);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

/** False if no registry answers. Once it sends, a failure is an error: then it is there, and something else is wrong. */
async function pull(it: Docker, image: string): Promise<boolean> {
  const child = execa('docker', ['pull', image], { env: it.env, all: true, reject: false });
  let answered = false;
  child.stdout.on('data', (text: Buffer) => {
    if (answered || !text.includes('Pulling from')) return;
    answered = true;
    note(`Pulling ${image}: typically 1 to 3 min.`);
  });
  const timer = setTimeout(() => {
    if (!answered) child.kill();
  }, REGISTRY_TIMEOUT_MS);
  const result = await child;
  clearTimeout(timer);
  if (!result.failed) return true;
  if (answered) throw new Error(`The node image could not be pulled. ${result.all}`);
  note('No container registry answers, so the node image is built here.');
  return false;
}

async function load(it: Docker, archive: string): Promise<void> {
  const input = createReadStream(archive, { highWaterMark: 1 << 20 }).compose(createZstdDecompress());
  await docker(it, ['load', '--quiet'], { input });
}

async function removeOldImages(it: Docker, current: string): Promise<void> {
  const list = await docker(it, ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', REPOSITORY]);
  for (const image of list.split('\n').filter((name) => name && name !== current)) {
    try {
      await docker(it, ['image', 'rm', image]);
    } catch (error) {
      // The cluster of another checkout uses it.
      if (!(error instanceof CommandError)) throw error;
    }
  }
}

import { execa } from 'execa';
import { CommandError, note } from '../progress.ts';
import { type Docker, docker } from './docker.ts';

/** A registry that answers begins to send within this time. */
const REGISTRY_TIMEOUT_MS = 20_000;

/** Whether the daemon has the image already. */
export async function imageIsThere(it: Docker, image: string): Promise<boolean> {
  try {
    await docker(it, ['image', 'inspect', '--format', '{{.Id}}', image]);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

/**
 * Pulls an image. False if no registry answers; once one sends, a failure is an error, since then something else is
 * wrong.
 */
export async function pullImage(it: Docker, image: string): Promise<boolean> {
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
  if (result.failed && answered) throw new Error(`The image ${image} could not be pulled. ${result.all}`);
  return !result.failed;
}

/** Removes the images of a repository whose name does not begin with `keep`, as far as no container uses them. */
export async function removeOtherImages(it: Docker, repository: string, keep: string): Promise<void> {
  const list = await docker(it, ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', repository]);
  for (const image of list.split('\n').filter((name) => name && !name.startsWith(keep))) {
    try {
      await docker(it, ['image', 'rm', image]);
    } catch (error) {
      // Someone uses it.
      if (!(error instanceof CommandError)) throw error;
    }
  }
}

import { existsSync, realpathSync } from 'node:fs';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One link for each image this checkout has made without Docker, named after it, to its archive in the cache. */
const STORE = fileURLToPath(new URL('../../../.bulkhead/images', import.meta.url));

/** An image as the cluster's `loadImages` takes it. */
export interface LocalImage {
  /** Its full name; it changes with the sources, so a Deployment that names it rolls out when they change. */
  readonly ref: string;
  /** The docker-archive. */
  readonly tarPath: string;
}

/** Remembers where the archive of an image is. */
export async function rememberImage({ ref, tarPath }: LocalImage): Promise<void> {
  await mkdir(STORE, { recursive: true });
  const unfinished = `${linkOf(ref)}.${process.pid}`;
  await rm(unfinished, { force: true });
  await symlink(tarPath, unfinished);
  await rename(unfinished, linkOf(ref));
}

/** The archive of an image that was made here; undefined for any other, and when the cache was emptied. */
export function imageArchive(ref: string): string | undefined {
  const link = linkOf(ref);
  return existsSync(link) ? realpathSync(link) : undefined;
}

function linkOf(ref: string): string {
  return join(STORE, `${ref.replace(/[/:]/g, '_')}.tar`);
}

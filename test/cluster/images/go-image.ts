import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../cache.ts';
import { step } from '../progress.ts';
import { type ImageConfig, writeImage, writeLayer } from './archive.ts';
import { goBuild } from './go-build.ts';
import { type LocalImage, rememberImage } from './store.ts';

const WORKER = fileURLToPath(new URL('../../../examples/worker', import.meta.url));
const PROBE = fileURLToPath(new URL('./probe', import.meta.url));
/** Which layout the images below have; a change of it makes them anew. */
const RECIPE = 'one static program, user 65532';

/** The example worker, `bulkhead.local/worker:<hash of its sources>` and `:dev`. Needs Go, but no Docker. */
export async function workerImage(): Promise<LocalImage> {
  return await goImage('worker', WORKER, { ExposedPorts: { '8080/tcp': {} } });
}

/** A program that looks at the network from inside a pod, for tests: see probe/main.go. */
export async function probeImage(): Promise<LocalImage> {
  return await goImage('probe', PROBE, {});
}

/** An image with nothing but one static program in it, which runs as a user that is not root. */
async function goImage(name: string, moduleDir: string, extra: ImageConfig): Promise<LocalImage> {
  const hash = await hashOf({ path: moduleDir }, JSON.stringify(extra), RECIPE, process.arch);
  const ref = `bulkhead.local/${name}:${hash.slice(0, 12)}`;
  const dir = await cached(`image-${name}`, hash, (tmpDir) =>
    step(`Building the image of ${name}`, () => build(tmpDir, name, moduleDir, ref, extra), { typical: '10 s' }),
  );
  const image = { ref, tarPath: join(dir, 'image.tar') };
  await rememberImage(image);
  return image;
}

async function build(dir: string, name: string, moduleDir: string, ref: string, extra: ImageConfig): Promise<void> {
  const binary = join(dir, name);
  const layer = join(dir, 'layer.tar');
  await goBuild(moduleDir, '.', binary);
  const passwd = 'nonroot:x:65532:65532::/:/sbin/nologin\n';
  await writeLayer(
    [
      { name: 'etc', folder: true },
      { name: 'etc/passwd', text: passwd },
      { name: 'tmp', folder: true, mode: 0o1777 },
      { name, path: binary, mode: 0o755 },
    ],
    layer,
  );
  const config: ImageConfig = { ...extra, Entrypoint: [`/${name}`], User: '65532:65532', WorkingDir: '/' };
  await writeImage({ layers: [layer], config, tags: [ref, `bulkhead.local/${name}:dev`], out: join(dir, 'image.tar') });
}

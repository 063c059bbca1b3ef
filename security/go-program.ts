import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../test/cluster/cache.ts';
import { goBuild } from '../test/cluster/images/go-build.ts';
import { step } from '../test/cluster/progress.ts';

/** The judges that are not ours: Go programs, built from their modules once and cached. */
const PROGRAMS = {
  podsecurity: { module: './podsecurity', source: '.' },
  'kube-score': { module: './tools', source: 'github.com/zegl/kube-score/cmd/kube-score' },
  kubeconform: { module: './tools', source: 'github.com/yannh/kubeconform/cmd/kubeconform' },
} as const;

/** The path of the program. Needs Go the first time. */
export async function goProgram(name: keyof typeof PROGRAMS): Promise<string> {
  const { module, source } = PROGRAMS[name];
  const folder = fileURLToPath(new URL(module, import.meta.url));
  const hash = await hashOf({ path: folder }, source, process.arch);
  const dir = await cached(`security-${name}`, hash, (tmpDir) =>
    step(`Building ${name} from its Go module`, () => goBuild(folder, source, join(tmpDir, name)), {
      typical: '5 s to 1 min',
    }),
  );
  return join(dir, name);
}

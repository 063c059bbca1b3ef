import { dirname, join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { run, step } from '../progress.ts';
import { lookAtMachine } from './machine.ts';
import { ensurePrograms, SYSTEM_PATH } from './packages.ts';

const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'mount', 'kmod', 'hostname', 'bash', 'jq', 'procps', 'busybox-static'],
  ...['conntrack', 'iptables', 'nftables', 'iproute2', 'ethtool'],
  ...['containerd', 'runc', 'containernetworking-plugins'],
];
const WITHOUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];

/** The Debian root file system that the node image starts from: a tar. It changes only with the list of packages. */
export async function baseRootFs(): Promise<string> {
  const { isRoot, debianRelease } = await lookAtMachine();
  if (!isRoot || !debianRelease) {
    throw new Error(
      "No container registry answers, so kind's node image cannot be pulled, and building it needs Debian and root. " +
        'Connect to a registry, or run this as root on Debian.',
    );
  }
  await ensurePrograms({ mmdebstrap: 'mmdebstrap', unshare: 'util-linux' }, 'Connect to a container registry.');
  const hash = await hashOf(...PACKAGES, ...WITHOUT, debianRelease, process.arch);
  const dir = await cached('kind-node-base', hash, (tmpDir) =>
    step('Debian root file system for the node', () => bootstrap(debianRelease, join(tmpDir, 'base.tar')), {
      typical: '1 min 20 s',
    }),
  );
  return join(dir, 'base.tar');
}

async function bootstrap(release: string, out: string): Promise<void> {
  const options = [
    '--format=tar',
    '--variant=minbase',
    `--include=${PACKAGES.join(',')}`,
    '--aptopt=Apt::Install-Recommends "false"',
    ...WITHOUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
  ];
  const env = { PATH: SYSTEM_PATH, TMPDIR: dirname(out) };
  await run('mmdebstrap', [...options, release, out, ...(await aptSources(release))], { env });
}

/** The Debian mirrors of this machine's own apt, one sources.list line each, others' repositories left out. */
async function aptSources(release: string): Promise<string[]> {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const format = '$(ORIGIN)|$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const list = () => run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  let lines = await list();
  if (!lines.includes('Debian|')) {
    await run('apt-get', ['update']);
    lines = await list();
  }
  const sources = lines.split('\n').flatMap((line) => {
    const [origin, source] = line.split('|');
    return origin === 'Debian' && source?.includes(` ${release}`) ? [`deb [signed-by=${keyring}] ${source}`] : [];
  });
  if (sources.length === 0) {
    throw new Error("This machine's apt knows no Debian mirror. Add one to /etc/apt/sources.list.d/.");
  }
  return [...new Set(sources)];
}

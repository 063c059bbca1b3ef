import assert from 'node:assert/strict';
import { test } from 'node:test';
import { undoRules } from '../../cluster/kind/footprint.ts';

const USERS = `# a firewall of the user's own
*filter
:INPUT DROP [12:3456]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:site - [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -j site
COMMIT
`;

const WITH_DOCKER = `*filter
:INPUT DROP [99:9999]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:site - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o br-0123456789ab -j DOCKER
-A FORWARD -j site
-A DOCKER -d 172.18.0.2/32 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.18.0.0/16 ! -o br-0123456789ab -j MASQUERADE
-A POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 6443 -j MASQUERADE
COMMIT
`;

test("Docker's rules go and those of others stay, also the ones added meanwhile", () => {
  assert.equal(
    undoRules(USERS, WITH_DOCKER),
    `*filter
-D FORWARD -j DOCKER-USER
-D FORWARD -o br-0123456789ab -j DOCKER
-F DOCKER
-F DOCKER-USER
-X DOCKER
-X DOCKER-USER
-P FORWARD ACCEPT
COMMIT
*nat
-D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-D POSTROUTING -s 172.18.0.0/16 ! -o br-0123456789ab -j MASQUERADE
-D POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 6443 -j MASQUERADE
-F DOCKER
-X DOCKER
COMMIT
`,
  );
});

test('a machine that had a Docker before keeps the chains of it', () => {
  assert.equal(undoRules(WITH_DOCKER, WITH_DOCKER), '');
});

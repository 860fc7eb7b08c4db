//! What the demo prints: the lines to try.
use std::io::Write;
use std::path::Path;

use gateway::Running;

use super::folder::TLS_HOST;
use crate::failure::Failure;

/// Prints the tour.
pub(super) fn print(running: &Running, folder: &Path) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text(running, folder).as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| Failure::runtime(format!("standard output cannot be written: {error}")))
}

fn text(running: &Running, folder: &Path) -> String {
    let Running { http, https, healthz, .. } = running;
    let (port, folder) = (https.port(), folder.display());
    let ingora = std::env::args().next().unwrap_or_else(|| "ingora".to_owned());
    format!(
        "\
Ingora is serving {folder} on http://{http} and https://{https}.

Try, in another terminal:
  curl -H 'Host: foo.bar.com' http://{http}/bar           # service1, 2 pods in turn
  curl -H 'Host: any.foo.com' http://{http}/foo/x         # service2, by wildcard host
  curl -H 'Host: app.test.com' http://{http}/             # app-test
  curl -H 'Host: app.prod.com' http://{http}/             # app-prod
  curl -i -H 'Host: foo.bar.com' http://{http}/else       # 404: no rule has the path
  curl -i -H 'Host: {TLS_HOST}' http://{http}/        # 308: the host has a certificate
  curl -k --resolve {TLS_HOST}:{port}:127.0.0.1 https://{TLS_HOST}:{port}/
  curl http://{healthz}/metrics

Why does a request go where it goes, and is anything wrong?
  {ingora} explain --manifests {folder} https://{TLS_HOST}/
  {ingora} lint {folder}

Edit {folder}/wildcard-host.yaml or endpoints.yaml:
a change is live when it is saved.
Each request is logged below. Ctrl-C ends.

"
    )
}

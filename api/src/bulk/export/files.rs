//! Files of records in an export: behind each record a FHIR `Binary` for each file beside it, made while it is sent, a chunk at
//! a time. A file is checked before its first byte leaves.

use fhir::SERVER_URL;
use vault::attachment::FileEncoder;

use super::super::attachments::DECIDED_FOR;
use super::{
    Disclosed, Ending, Error, ExportFormat, ExportRun, ExportStop, Instant, Severity, TRIES,
    decrypt, outcome, wait_where_busy,
};
use crate::records::attachments::{self, NamedFile};

/// What a `Binary` is called: the record, and the place of the file in its document.
fn id_of(disclosed: &Disclosed, file: &NamedFile) -> String {
    format!("{}-{}", disclosed.record.id, file.place)
}

impl ExportFormat {
    /// What stands before and behind the file in base64, its record being a resource of this kind.
    fn head_and_tail(
        self,
        disclosed: &Disclosed,
        kind: &str,
        file: &NamedFile,
    ) -> (String, String) {
        let (id, record) = (id_of(disclosed, file), disclosed.record.id);
        let proxy = match self {
            Self::Bundle => format!("urn:uuid:{record}"),
            Self::Lines | Self::Transaction | Self::Archive => format!("{kind}/{record}"),
        };
        let head = format!(r#"{{"contentType":"{}","data":""#, file.content_type);
        let tail = format!(
            r#"","id":"{id}","resourceType":"Binary","securityContext":{{"reference":"{proxy}"}}}}"#
        );
        let entry = format!(r#",{{"fullUrl":"{SERVER_URL}/Binary/{id}","resource":"#);
        match self {
            Self::Lines | Self::Archive => (head, format!("{tail}\n")),
            Self::Bundle => (format!("{entry}{head}"), format!("{tail}}}")),
            Self::Transaction => {
                let request = format!(r#","request":{{"method":"PUT","url":"Binary/{id}"}}}}"#);
                (format!("{entry}{head}"), format!("{tail}{request}"))
            }
        }
    }

    /// What stands in the place of a file that is not what was stored.
    fn withheld_file(self, error: &Error) -> Vec<u8> {
        let told = outcome(Severity::Error, error.public_code(), &error.to_string());
        match self {
            Self::Lines | Self::Archive => [told, b"\n".to_vec()].concat(),
            Self::Bundle => [br#",{"resource":"#.to_vec(), told, b"}".to_vec()].concat(),
            Self::Transaction => [
                br#",{"resource":"#.to_vec(),
                told,
                br#","request":{"method":"POST","url":"OperationOutcome"}}"#.to_vec(),
            ]
            .concat(),
        }
    }
}

impl ExportRun {
    /// Sends the files of a record that has just left.
    pub(super) async fn files(
        &mut self,
        mut disclosed: Disclosed,
        document: &[u8],
    ) -> Result<(), ExportStop> {
        let beside = attachments::beside(&self.transfer.app.keyring, &disclosed, document).await;
        let beside = beside.map_err(|error| over(&error))?;
        if beside.is_empty() {
            return Ok(());
        }
        let read = decrypt::document(document);
        let kind = read.as_ref().and_then(fhir::kind_of).unwrap_or_default();
        let mut decided = Instant::now();
        for file in beside {
            match self.is_whole(&file).await {
                Ok(()) => {}
                // What was promised and never came.
                Err(Error::NotFound(_)) => continue,
                Err(error @ Error::Integrity(_)) => {
                    self.write(self.form.withheld_file(&error)).await?;
                    continue;
                }
                Err(error) => return Err(over(&error)),
            }
            let (head, tail) = self.form.head_and_tail(&disclosed, kind, &file);
            let sent = self
                .file(&file, (head, tail), (&mut disclosed, &mut decided))
                .await;
            if sent.is_err() {
                // A last word would be taken for what is in the file.
                self.output.abort().await;
                return Err(ExportStop::Disconnected);
            }
        }
        Ok(())
    }

    /// Opens every chunk of a file, and keeps none.
    async fn is_whole(&self, file: &NamedFile) -> Result<(), Error> {
        let mut left = TRIES;
        loop {
            match file.check(&self.transfer.app.pool).await {
                Err(error @ Error::Busy { .. }) => {
                    let again = wait_where_busy(error, left).await;
                    left = again.map_err(|_| Error::Unavailable)?;
                }
                checked => return checked,
            }
        }
    }

    async fn file(
        &mut self,
        file: &NamedFile,
        (head, tail): (String, String),
        (disclosed, decided): (&mut Disclosed, &mut Instant),
    ) -> Result<(), ExportStop> {
        self.write(head.into_bytes()).await?;
        let mut encoder = FileEncoder::default();
        for number in 0..file.chunks() {
            if decided.elapsed() >= DECIDED_FOR {
                let Self {
                    transfer, begun, ..
                } = &*self;
                let (disclosure, caller) = (&transfer.app.disclosure, &transfer.caller);
                let again = begun.again(disclosure, caller, disclosed).await;
                *disclosed = again.map_err(|error| over(&error))?;
                *decided = Instant::now();
            }
            let mut left = TRIES;
            let chunk = loop {
                match file.chunk(&self.transfer.app.pool, number).await {
                    Ok(chunk) => break chunk,
                    Err(error) => {
                        let again = wait_where_busy(error, left).await;
                        left = again.map_err(ExportStop::Over)?;
                    }
                }
            };
            self.write(encoder.update(&chunk).into_bytes()).await?;
        }
        let end = encoder.finish() + &tail;
        self.write(end.into_bytes()).await
    }

    /// Sends a piece when there is room for it.
    async fn write(&self, piece: Vec<u8>) -> Result<(), ExportStop> {
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(ExportStop::Over(over)),
            sent = self.output.write(piece) => sent.map_err(Into::into),
        }
    }
}

fn over(error: &Error) -> ExportStop {
    ExportStop::Over(Ending::from(error))
}

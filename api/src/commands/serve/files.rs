//! The files that the settings name: read before anything is opened, so that all mistakes are told at once.

use std::net::SocketAddr;

use chain::{Deployment, SameAccount, siwe::Site};
use fhir::profiles::Profiles;
use tokio::net::TcpListener;
use vault::{blind_index::IndexKey, keyring::KeyringError, token::TokenKeys};

use crate::{
    commands::output::{Failure, with_causes},
    config::ServeConfig,
    documents::{DocumentChecks, Documents, DocumentsError},
    profiles,
    query_limits::QueryLimits,
    schema,
};

/// The profiles of the packages that the settings name, where nothing is wrong with the settings and the files that they name.
/// Nobody is asked but the token of the master keys.
///
/// # Errors
/// Everything that is.
pub(crate) async fn read_files(config: &ServeConfig) -> Result<Profiles, Vec<String>> {
    let profiles = profiles::load(&config.profiles).await;
    let mut mistakes = mistakes_of(config);
    match profiles {
        Ok(profiles) if mistakes.is_empty() => Ok(profiles),
        Ok(_) => Err(mistakes),
        Err(unusable) => {
            let told = unusable.iter();
            mistakes.extend(told.map(|package| format!("MEDITRUSTAL_PROFILES: {package}")));
            Err(mistakes)
        }
    }
}

/// Everything that the settings and the other files that they name have wrong.
fn mistakes_of(config: &ServeConfig) -> Vec<String> {
    let mut mistakes = config.contradictions();
    let mut look = |variable: &str, found: Result<(), Failure>| {
        if let Err(error) = found {
            mistakes.push(format!("{variable}: {}", with_causes(error.as_ref())));
        }
    };
    let keys = config.pkcs11.keyring(&config.master_keys_file);
    let variable = if matches!(keys, Err(KeyringError::Token(_))) {
        "MEDITRUSTAL_PKCS11_MODULE"
    } else {
        "MEDITRUSTAL_MASTER_KEYS_FILE"
    };
    look(variable, keys.map(drop).map_err(Into::into));
    let key = IndexKey::load(&config.index_key_file);
    look(
        "MEDITRUSTAL_INDEX_KEY_FILE",
        key.map(drop).map_err(Into::into),
    );
    let keys = TokenKeys::load(&config.token_key_file);
    look(
        "MEDITRUSTAL_TOKEN_KEY_FILE",
        keys.map(drop).map_err(Into::into),
    );
    look_at_registrars(config, &mut look);
    if let Some(file) = &config.checkpoints.key_file {
        let checkpointer = chain::address_of_key_file(file);
        look(
            "MEDITRUSTAL_CHECKPOINT_KEY_FILE",
            checkpointer.map(drop).map_err(Into::into),
        );
    }
    let certificate = config.tls.certificate();
    look(
        "MEDITRUSTAL_TLS_CERT_FILE",
        certificate.map(drop).map_err(Into::into),
    );
    look(
        "MEDITRUSTAL_TRUSTED_DOCUMENTS",
        documents(config).map(drop).map_err(Into::into),
    );
    let deployment = Deployment::load(&config.deployment_file);
    if let Ok(deployment) = &deployment
        && config.relay_consents
        && deployment.consent_registry.is_none()
    {
        let told = "the deployment file names no registry of consents";
        look("MEDITRUSTAL_RELAY_CONSENTS", Err(told.into()));
    }
    look(
        "MEDITRUSTAL_DEPLOYMENT_FILE",
        deployment.map(drop).map_err(Into::into),
    );
    let site = site(config, config.listen);
    look("MEDITRUSTAL_SITE", site.map(drop));
    mistakes
}

/// The documents that are known beforehand.
///
/// # Errors
/// [`DocumentsError`] for one that could not be run.
pub(super) fn documents(config: &ServeConfig) -> Result<Documents, DocumentsError> {
    config.documents.load(DocumentChecks {
        limits: &QueryLimits::new(config.introspection),
        fits: &schema::validator(),
    })
}

/// Looks at the keys of the accounts that anchor.
fn look_at_registrars(config: &ServeConfig, look: &mut impl FnMut(&str, Result<(), Failure>)) {
    let mut accounts = Vec::new();
    for file in config.registrars.key_files() {
        match chain::address_of_key_file(file) {
            Ok(account) if accounts.contains(&account) => look(
                "MEDITRUSTAL_REGISTRAR_KEY_FILES",
                Err(SameAccount(account).into()),
            ),
            Ok(account) => accounts.push(account),
            Err(error) => look("MEDITRUSTAL_REGISTRAR_KEY_FILE", Err(error.into())),
        }
    }
}

/// Begins to listen, and gives the profiles; or tells everything that the settings and the files that they name have wrong.
pub(super) async fn check(config: &ServeConfig) -> Result<(TcpListener, Profiles), Failure> {
    let files = read_files(config).await;
    let listener = TcpListener::bind(config.listen).await;
    match (listener, files) {
        (Ok(listener), Ok(profiles)) => Ok((listener, profiles)),
        (Ok(_), Err(mistakes)) => Err(settings::told(&mistakes).into()),
        (Err(error), files) => {
            let mut mistakes = files.err().unwrap_or_default();
            mistakes.push(format!(
                "MEDITRUSTAL_LISTEN: cannot listen on {}: {error}; choose another with --listen",
                config.listen
            ));
            Err(settings::told(&mistakes).into())
        }
    }
}

/// The origin of the frontend: as configured, or the address where we listen.
pub(super) fn site(config: &ServeConfig, listening: SocketAddr) -> Result<Site, Failure> {
    let here = format!("{}://{listening}", config.tls.scheme());
    let origin = config.site.as_deref().unwrap_or(&here);
    Site::parse(origin).map_err(|error| format!("--site cannot be {origin}: {error}").into())
}
